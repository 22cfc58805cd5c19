"""Domain events on their way into the stream: in order, once, without making an answer wait.

An event leaves with the next message, or a moment later, and is kept until the stream has it. The stream takes what
comes over one link in the order it was sent, so its acknowledgement of one event holds for those before it: while one
is awaited, and for a moment after it was asked for, no other is, and under load one covers many. When the link ends,
or the stream does not answer, all that is unconfirmed is sent again in its order before anything new; the message id
keeps the stream from storing an event twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from handler_base.errors import FleetError, PayloadTooLargeError
from handler_base.messages import DomainEvent, Encoding, encode
from handler_base.messages.subjects import Subject
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.headers import CONTENT_TYPE, MESSAGE_ID, MESSAGE_TYPE, encode_headers
from handler_base.nats_client.publishing import read_publish_ack
from handler_base.telemetry import metrics, propagation

__all__ = ["EventLog", "event_id"]

log = logging.getLogger(__name__)

_MOST_KEPT: Final = 32 * 1024 * 1024
"""Bytes of events that wait for a stream that is away; what comes then is lost, and counted."""

_ASK_EVERY: Final = 0.01
"""Seconds from one acknowledgement that is asked for to the next."""

_LEAVES_WITHIN: Final = 0.005
"""Seconds an event may wait for a message to leave with: mostly the answer it belongs to."""

_CONFIRM_AFTER: Final = 0.02
"""Seconds after which the last of a row of events is asked for again, when nothing followed it."""

_ANSWER_WITHIN: Final = 2.0
"""Seconds in which a stream that works acknowledges."""

_RETRY_AFTER: Final = 1.0

_SMALL: Final = 4096
"""Bytes that every server takes in one message, with room for headers."""

_HEADERS: Final = (
    encode_headers({CONTENT_TYPE: Encoding.MSGPACK.value, MESSAGE_TYPE: DomainEvent.schema_name})[:-2].decode()
    + f"{MESSAGE_ID}: "
)

_REPLY: Final = b"  "
"""What stands in a command where the subject of an answer would."""

Value = str | int | float | bool | None


def event_id(user_id: str, request_id: str, name: str, part: str = "") -> str:
    """Return the id of an event: the same whenever the same step of the same question is told again.

    Args:
        user_id: Whom it concerns; empty: nobody.
        request_id: At which question.
        name: The event's name.
        part: Tells apart what happens more than once at one question, such as its steps.
    """
    return f"{user_id or '-'}/{request_id}/{name}" + (f"/{part}" if part else "")


class _Event(msgspec.Struct, gc=False):
    """An event as it is sent, and sent again."""

    number: int
    command: bytes
    size: int


class EventLog:
    """Publishes the events of one domain.

    Args:
        connection: Where to; connected.
        subject: The domain's: `CHAT_EVENT`, `VOICE_EVENT` or `PIPELINE_EVENT`.
        most_kept: Bytes that may wait for the stream.

    Attributes:
        lost: Events that were given up because too many waited, or that no stream would take.
    """

    def __init__(self, connection: NatsConnection, subject: Subject, *, most_kept: int = _MOST_KEPT) -> None:
        self._connection = connection
        self._subject = subject
        self._verbs: dict[str, str] = {}
        self._most_kept = most_kept
        self._kept: deque[_Event] = deque()
        self._kept_bytes = 0
        self._number = 0
        self._asked: int | None = None
        self._ask_at = self._late_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._live = True
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self.lost = 0
        self._inbox = connection.new_inbox()
        self._answers = connection.listen(f"{self._inbox}.*", self._on_answer)
        self._stop_watching = connection.on_reconnect(self._again)
        connection.resent_elsewhere(subject.template.partition("{")[0])

    @property
    def waiting(self) -> int:
        """Events that the stream has not confirmed."""
        return len(self._kept)

    def record(
        self,
        name: str,
        *,
        user_id: str = "",
        session_id: str = "",
        request_id: str = "",
        data: dict[str, Value] | None = None,
        part: str = "",
    ) -> None:
        """Tell that something happened; never waits and never raises.

        Args:
            name: One of the domain's event names.
            user_id: Whom it concerns.
            session_id: In which conversation.
            request_id: At which question.
            data: What is to be known of it.
            part: Tells apart what happens more than once at one question.
        """
        identity = event_id(user_id, request_id, name, part)
        if not identity.isprintable():
            self._lose("identity", name)
            return
        event = DomainEvent(
            id=identity,
            name=name,
            occurred_at=_moment(time.time_ns() // 1_000_000),
            user_id=user_id,
            session_id=session_id,
            request_id=request_id,
            data=data or {},
        )
        try:
            payload = encode(event)
        except FleetError:
            self._lose("unencodable", name)
            return
        headers = f"{_HEADERS}{identity}\r\n{propagation.header_lines()}\r\n"
        length = len(headers) if headers.isascii() else len(headers.encode())
        size = length + len(payload)
        if self._kept_bytes + size > self._most_kept or (size > _SMALL and size > self._connection.max_payload):
            self._lose("full", name)
            return
        verb = self._verbs.get(name) or self._verb_of(name)
        command = b"".join((f"{verb}{length} {size}\r\n{headers}".encode(), payload, b"\r\n"))
        if not self._kept:
            self._empty.clear()
        self._number = number = self._number + 1
        kept = _Event(number, command, size)
        self._kept.append(kept)
        self._kept_bytes += size
        if self._live:
            self._send(kept)

    async def close(self, budget: timedelta = timedelta(seconds=2)) -> None:
        """Wait until the stream has everything, for `budget` at most, then let go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(budget.total_seconds()):
                await self._empty.wait()
        if self._kept:
            log.warning("stopping before the stream had every event", extra={"events": len(self._kept)})
        self._live = False
        self._stop_watching()
        self._stop_timer()
        await self._answers.unsubscribe()

    def _verb_of(self, name: str) -> str:
        verb = self._verbs[name] = f"HPUB {self._subject.format(name=name)}{_REPLY.decode()}"
        return verb

    def _send(self, event: _Event, *, ask: bool = False) -> None:
        """Send an event; ask for an acknowledgement when none is awaited and the last is some time ago."""
        if not self._connection.is_connected:
            self._live = False  # the new link begins with what is kept
            return
        command = event.command
        if ask or (self._asked is None and self._loop.time() >= self._ask_at):
            now = self._loop.time()
            self._asked = event.number
            self._ask_at, self._late_at = now + _ASK_EVERY, now + _ANSWER_WITHIN
            command = command.replace(_REPLY, f" {self._inbox}.{event.number} ".encode(), 1)
        if self._timer is None:
            self._set_timer(_CONFIRM_AFTER, self._look)
        try:
            if event.size > _SMALL and event.size > self._connection.max_payload:
                raise PayloadTooLargeError  # another server than when it was recorded
            self._connection.send_along(command, _LEAVES_WITHIN)
        except FleetError:
            self._pause()

    def _on_answer(self, msg: Msg) -> None:
        number = int(msg.subject.rpartition(".")[2])
        if self._asked != number:
            return  # of an attempt that was given up
        self._asked = None
        if not _stored(msg):
            self._pause()
            return
        while self._kept and self._kept[0].number <= number:
            self._kept_bytes -= self._kept.popleft().size
        if not self._kept:
            self._live = True
            self._empty.set()
        elif not self._live:
            self._again()

    def _look(self) -> None:
        """See to what is unconfirmed: one timer for all events, as nothing is due at a certain moment."""
        self._timer = None
        if not self._kept:
            return
        if self._asked is None:
            # Nothing followed the last event that could have asked for it.
            self._send(self._kept[-1], ask=True)
        elif self._loop.time() >= self._late_at:
            self._probe()
        else:
            self._set_timer(_CONFIRM_AFTER, self._look)

    def _pause(self) -> None:
        """Leave a stream that cannot store alone for a moment."""
        self._live = False
        self._asked = None
        metrics.SWALLOWED_ERRORS.of("events").inc()
        self._set_timer(_RETRY_AFTER, self._probe)

    def _probe(self) -> None:
        """Send the oldest event alone: a stream that is away is not to be given everything again and again."""
        self._stop_timer()
        self._live = False
        self._asked = None
        if self._kept:
            self._send(self._kept[0], ask=True)

    def _again(self) -> None:
        """Send all that is unconfirmed, in its order, and go on from there."""
        self._stop_timer()
        self._live = True
        self._asked = None
        for event in list(self._kept):
            self._send(event, ask=event is self._kept[-1])
            if not self._live:
                return

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self, reason: str, name: str) -> None:
        self.lost += 1
        metrics.SWALLOWED_ERRORS.of("events.lost").inc()
        if self.lost == 1:
            log.error("events are being lost", extra={"reason": reason, "event": name})


def _stored(msg: Msg) -> bool:
    """Whether the stream has the event; a refusal is logged where it is read."""
    if msg.status:
        return False
    try:
        read_publish_ack(msg.data)
    except FleetError:
        return False
    return True


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


@lru_cache(maxsize=2)
def _moment(milliseconds: int) -> str:
    # Under load many events are of the same millisecond.
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"
