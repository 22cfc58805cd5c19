"""The replicas that live: each says so several times a second, and all of them hear it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Callable
from typing import Final

import msgspec

from handler_base.errors import FleetError
from handler_base.nats_client import NatsConnection
from handler_base.telemetry import metrics

__all__ = ["DEAD_AFTER", "Member", "Members"]

log = logging.getLogger(__name__)

_BEAT: Final = 0.25
DEAD_AFTER: Final = 1.25
"""Seconds without a sign of life after which a replica's sessions are taken over."""

_LEASE: Final = 1.0
"""Seconds from a sign of life that the bucket took until somebody may take this replica for dead, with a margin for
clocks that do not run alike."""

_FORGET_AFTER: Final = 60.0


class _Beat(msgspec.Struct, array_like=True):
    number: int
    room: int


class Member:
    """Another replica, or this one.

    Attributes:
        room: Sessions it could take.
        seen_at: When it was last heard of, on the monotonic clock.
        seen: The same in Unix seconds.
        dead: Whether its sessions are to be taken over.
    """

    __slots__ = ("dead", "room", "seen", "seen_at")

    def __init__(self) -> None:
        self.room = 0
        self.dead = False
        self.seen_at = time.monotonic()
        self.seen = time.time()


class Members:
    """Knows which replicas live.

    Who cannot hear itself judges nobody: it is this replica, or JetStream, that is away then.

    Args:
        connection: Where the signs of life go.
        subject: The subject of this replica's.
        replica: Its id.
        room: How many sessions it could take now.
    """

    def __init__(self, connection: NatsConnection, subject: str, replica: str, room: Callable[[], int]) -> None:
        self.replica = replica
        self._connection = connection
        self._subject = subject
        self._room = room
        self._members: dict[str, Member] = {}
        self._number = 0
        self._sent: dict[int, float] = {}
        self._echoed_sent_at = float("-inf")
        self._echoed = 0
        self._beating: asyncio.Task[None] | None = None
        self.heard_of_itself = asyncio.Event()

    def start(self) -> None:
        """Begin to tell that this replica lives."""
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    def stop(self) -> None:
        """Tell all others that this replica goes."""
        if self._beating is not None:
            self._beating.cancel()
        try:
            self._connection.send(self._subject, b"")
        except FleetError:
            # Without a link they find out by themselves.
            metrics.SWALLOWED_ERRORS.of("members").inc()

    def tell(self) -> None:
        """Give a sign of life now."""
        self._number += 1
        self._sent[self._number] = time.monotonic()
        while len(self._sent) > 64:
            del self._sent[next(iter(self._sent))]
        try:
            self._connection.send(self._subject, msgspec.msgpack.encode(_Beat(self._number, self._room())))
        except FleetError:
            metrics.SWALLOWED_ERRORS.of("members").inc()

    async def tell_all(self) -> None:
        """Give a sign of life now; when this returns, the others have most likely heard it as well."""
        self.tell()
        number = self._number
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEAT):
                while self._echoed < number:
                    self.heard_of_itself.clear()
                    await self.heard_of_itself.wait()

    def heard(self, replica: str, value: bytes) -> None:
        """Take what the bucket tells of a replica."""
        if not value:
            gone = self._members.get(replica)
            if gone is not None:
                gone.seen_at = float("-inf")
            return
        beat = msgspec.msgpack.decode(value, type=_Beat)
        if replica == self.replica:
            # One of an earlier life under this id cannot be: ids are made anew.
            self._echoed_sent_at = self._sent.get(beat.number, self._echoed_sent_at)
            self._echoed = beat.number
            self.heard_of_itself.set()
            return
        member = self._members.setdefault(replica, Member())
        member.seen_at, member.seen = time.monotonic(), time.time()
        member.room = beat.room
        member.dead = False

    def holds(self) -> bool:
        """Whether nobody can have taken this replica for dead yet."""
        return time.monotonic() - self._echoed_sent_at < _LEASE

    def lives(self, replica: str) -> bool:
        """Whether a replica is this one, or was heard of lately."""
        if replica == self.replica:
            return True
        member = self._members.get(replica)
        return member is not None and not member.dead

    def seen(self, replica: str) -> float:
        """Return when another replica was last heard of, in Unix seconds."""
        member = self._members.get(replica)
        return member.seen if member is not None else 0.0

    def again(self) -> None:
        """The link was away: nobody could be heard meanwhile."""
        for member in self._members.values():
            if not member.dead:
                member.seen_at = max(member.seen_at, time.monotonic())

    def judge(self) -> list[str]:
        """Return the replicas that died since it was last asked."""
        if not self.holds():
            return []
        now, died = time.monotonic(), []
        for replica, member in list(self._members.items()):
            if not member.dead and now - member.seen_at > DEAD_AFTER:
                member.dead = True
                died.append(replica)
            elif member.dead and now - member.seen_at > DEAD_AFTER + _FORGET_AFTER:
                del self._members[replica]
        return died

    @property
    def others(self) -> set[str]:
        """The other replicas that live."""
        return {replica for replica, member in self._members.items() if not member.dead}

    def successor(self, session_id: str) -> str:
        """Return the other replica that a session goes to when this one leaves; empty where none can take it."""
        able = [replica for replica, member in self._members.items() if not member.dead and member.room > 0]
        return max(able, key=lambda replica: _rank(session_id, replica), default="")

    def roomiest(self) -> str:
        """Return the other replica that could take most sessions; empty where none can take one."""
        living = [(member.room, replica) for replica, member in self._members.items() if not member.dead]
        room, replica = max(living, default=(0, ""))
        return replica if room > 0 else ""

    def heir(self, session_id: str) -> str:
        """Return the replica that a session without an owner falls to; all that live agree."""
        living = [self.replica, *(replica for replica, member in self._members.items() if not member.dead)]
        return max(living, key=lambda replica: _rank(session_id, replica))

    async def _beat(self) -> None:
        while True:
            self.tell()
            await asyncio.sleep(_BEAT)


def _rank(session_id: str, replica: str) -> tuple[int, str]:
    """Highest random weight: spreads the sessions of one replica over the others, alike wherever it is asked."""
    return zlib.crc32(f"{session_id} {replica}".encode()), replica
