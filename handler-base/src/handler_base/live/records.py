"""Who has which session, in a bucket, changed only by who knows the newest state of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.errors import FleetError
from handler_base.live.session import OwnershipLostError
from handler_base.messages import Encoding
from handler_base.nats_client import KeyValue, KeyValueEntry, WrongSequenceError
from handler_base.telemetry import metrics

__all__ = ["Known", "Record", "RecordFence", "Records"]

_PREFIX: Final = "session."
_PATIENCE: Final = 5.0
"""Seconds in which a state must be kept; JetStream may choose a new leader meanwhile."""

_PAUSE: Final = 0.2

_HEARD_AFTER: Final = 1.0
"""Seconds after which every replica has heard of a change."""


class Record(msgspec.Struct, array_like=True):
    """A session.

    Attributes:
        owner: The replica that has it; empty for a session that is over.
        generation: How many owners it has had.
        until: Unix seconds up to which what was heard needs not be heard again.
        encoding: What its client is written to in.
        state: What its work keeps.
        giver: The replica that gives it to its owner, until that listens to it.
    """

    owner: str
    generation: int
    until: float
    encoding: str = Encoding.MSGPACK.value
    state: bytes = b""
    giver: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A record with its revision."""

    record: Record
    revision: int


class Records:
    """The sessions of all replicas, as far as this one has heard.

    Args:
        store: Where they are kept.
        changed: Told of each change, with what was known before.
    """

    def __init__(self, store: KeyValue, changed: Callable[[str, Known, Known | None], None]) -> None:
        self._store = store
        self._changed = changed
        self._known: dict[str, Known] = {}
        self._ended: dict[str, int] = {}
        self._to_drop: deque[tuple[float, str, int]] = deque()

    def heard(self, entry: KeyValueEntry) -> None:
        """Take what the bucket tells."""
        if not entry.key.startswith(_PREFIX):
            return
        session_id = entry.key.removeprefix(_PREFIX)
        before = self._known.get(session_id)
        if entry.revision <= max(before.revision if before is not None else 0, self._ended.get(session_id, 0)):
            if entry.revision == self._ended.get(session_id):
                del self._ended[session_id]
            return  # what this replica wrote itself
        record = msgspec.msgpack.decode(entry.value, type=Record) if entry.value else Record("", 0, time.time())
        known = Known(record, entry.revision)
        if record.owner:
            self._known[session_id] = known
        else:
            self._known.pop(session_id, None)
        self._changed(session_id, known, before)

    def get(self, session_id: str) -> Known | None:
        """Return what is known of a session."""
        return self._known.get(session_id)

    def of(self, owner: str) -> list[tuple[str, Known]]:
        """Return the sessions of a replica."""
        return [(name, known) for name, known in self._known.items() if known.record.owner == owner]

    async def fetch(self, session_id: str) -> Known | None:
        """Ask the bucket for a session.

        Raises:
            FleetError: It does not answer.
        """
        entry = await self._store.get(_PREFIX + session_id)
        if entry is None or not entry.value:
            return None
        return Known(msgspec.msgpack.decode(entry.value, type=Record), entry.revision)

    async def write(self, session_id: str, record: Record, revision: int) -> int:
        """Change a session that is at a revision, 0 for a new one; return the new one.

        Raises:
            WrongSequenceError: It has changed.
            FleetError: It cannot be kept right now.
        """
        value = msgspec.msgpack.encode(record)
        deadline = time.monotonic() + _PATIENCE
        asked_before = False
        while True:
            try:
                revision = await self._store.update(_PREFIX + session_id, value, revision)
            except WrongSequenceError:
                if not asked_before:
                    raise
                # The answer to an earlier attempt may have been lost.
                entry = await self._store.get(_PREFIX + session_id)
                if entry is None or entry.value != value:
                    raise
                revision = entry.revision
            except FleetError:
                if time.monotonic() > deadline:
                    raise
                asked_before = True
                await asyncio.sleep(_PAUSE)
                continue
            self._known[session_id] = Known(record, revision)
            return revision

    async def begin(self, session_id: str, record: Record) -> int:
        """Enter a new session; return its revision.

        Raises:
            WrongSequenceError: Somebody else has it.
            FleetError: It cannot be kept right now.
        """
        revision = 0
        while True:
            try:
                return await self.write(session_id, record, revision)
            except WrongSequenceError:
                # One of the same name may just have ended, and be there still, or have gone in between.
                found = await self.fetch(session_id)
                if found is not None and found.record.owner:
                    raise
                revision = found.revision if found is not None else 0

    async def forget(self, session_id: str, record: Record, revision: int, until: float) -> None:
        """Tell everybody that a session is over; `drop_ended` removes it once they have heard.

        Args:
            session_id: The session.
            record: As it was.
            revision: Of that.
            until: Up to when what came for it was surely heard, in Unix seconds.

        Raises:
            FleetError: It has changed, or cannot be kept right now.
        """
        revision = await self.write(session_id, Record("", record.generation, until), revision)
        self._known.pop(session_id, None)
        self._ended[session_id] = revision
        self._to_drop.append((time.monotonic() + _HEARD_AFTER, session_id, revision))

    @property
    def ending(self) -> bool:
        """Whether something is left of sessions that are over."""
        return bool(self._to_drop)

    async def drop_ended(self, *, all_of_them: bool = False) -> None:
        """Remove what is left of sessions that are over."""
        while self._to_drop and (all_of_them or self._to_drop[0][0] < time.monotonic()):
            _, session_id, revision = self._to_drop.popleft()
            self._ended.pop(session_id, None)
            try:
                await self._store.drop(_PREFIX + session_id, revision)
            except FleetError:
                # The bucket forgets it by itself, later.
                metrics.SWALLOWED_ERRORS.of("live.drop").inc()


class RecordFence:
    """Keeps a replica from speaking for a session that it has lost.

    Args:
        records: Where the session is kept.
        session_id: Its id.
        record: As this replica took it.
        revision: Of that.
        leased: Whether nobody can have taken this replica for dead.
    """

    def __init__(
        self, records: Records, session_id: str, record: Record, revision: int, leased: Callable[[], bool]
    ) -> None:
        self._records = records
        self._session_id = session_id
        self._leased = leased
        self._writing = asyncio.Lock()
        self.record = record
        self.revision = revision
        self.saved_at = time.monotonic()
        self.lost = False
        self._passing = False

    @property
    def generation(self) -> int:
        """See `Fence`."""
        return self.record.generation

    def holds(self) -> bool:
        """See `Fence`."""
        return not self.lost and self._leased()

    async def save(self, state: bytes, *, until: float) -> None:
        """See `Fence`."""
        async with self._writing:
            record = msgspec.structs.replace(self.record, state=state, until=max(until, self.record.until))
            await self._write(record)

    async def refresh(self) -> None:
        """Keep the record anew, before the bucket forgets it."""
        try:
            async with self._writing:
                await self._write(self.record)
        except (FleetError, OwnershipLostError):
            # The next one will tell.
            metrics.SWALLOWED_ERRORS.of("live.refresh").inc()

    def is_lost_to(self, record: Record) -> bool:
        """Whether a record says that the session is another's, and this replica did not make it so."""
        return record.generation > self.record.generation and not self.lost and not self._passing

    async def pass_on(self, owner: str, until: float, giver: str) -> None:
        """Make the session another replica's.

        Args:
            owner: Of that one.
            until: Up to when it was heard here, in Unix seconds.
            giver: This replica.

        Raises:
            OwnershipLostError: It is no longer this one's to give.
            FleetError: It cannot be kept right now.
        """
        self._passing = True
        async with self._writing:
            generation = self.record.generation + 1
            given = msgspec.structs.replace(self.record, owner=owner, generation=generation, until=until, giver=giver)
            await self._write(given)
            self.lost = True

    async def forget(self, until: float) -> None:
        """The session is over; what came up to then was heard."""
        async with self._writing:
            if not self.lost:
                await self._records.forget(self._session_id, self.record, self.revision, until)

    async def _write(self, record: Record) -> None:
        if self.lost:
            raise OwnershipLostError
        try:
            self.revision = await self._records.write(self._session_id, record, self.revision)
        except WrongSequenceError:
            self.lost = True
            raise OwnershipLostError from None
        self.record = record
        self.saved_at = time.monotonic()
