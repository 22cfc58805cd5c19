"""One delivery of a message from a stream, to be settled once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from handler_base.nats_client._wire import Msg

__all__ = ["ACK", "IN_PROGRESS", "Delivery", "Settler", "nak_payload", "term_payload"]

ACK: Final = b"+ACK"
IN_PROGRESS: Final = b"+WPI"
_NAK: Final = b"-NAK"
_TERM: Final = b"+TERM"

# $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; the later form has domain and
# account between the prefix and the stream, and a random token at the end.
_SHORT_FORM: Final = 9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Settler(Protocol):
    """Whoever sends what becomes of a delivery."""

    def settle(self, delivery: Delivery, payload: bytes, *, finished: bool) -> None:
        """Send the acknowledgement, and free the slot.

        Args:
            delivery: Which.
            payload: The acknowledgement.
            finished: Whether the message must not be handled again.
        """

    async def still_owns(self, delivery: Delivery) -> bool:
        """Return whether the server still counts a delivery as ours."""
        ...


class Delivery:
    """A message from a stream.

    Until it is settled by `ack`, `nak` or `term` it is kept alive on the server by heartbeats of its consumer.
    Settling it again changes nothing.

    Attributes:
        subject: What it was published on.
        data: The payload.
        headers: By name, as sent; None when there are none.
        reply: Where acknowledgements go.
        key: Stream sequence and time of publication: the identity of the message.
        held_since: On `time.monotonic`: the server is known to have counted it as ours then.
        settled: Whether the server was told, or the delivery was lost.
        on_lost: Called when the server may have given the message to another replica: stop working on it.
    """

    __slots__ = (
        "_at",
        "_settler",
        "_tokens",
        "data",
        "headers",
        "held_since",
        "key",
        "on_lost",
        "reply",
        "settled",
        "subject",
    )

    def __init__(self, msg: Msg, settler: Settler) -> None:
        self.subject = msg.subject
        self.data = msg.data
        self.headers = msg.headers
        self._settler = settler
        self.settled = False
        self.on_lost: Callable[[], object] | None = None
        self._read_reply(msg.reply)

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self._tokens[self._at]

    @property
    def consumer(self) -> str:
        """Name of the consumer."""
        return self._tokens[self._at + 1]

    @property
    def attempt(self) -> int:
        """Which delivery of the message this is; 1 for the first."""
        return int(self._tokens[self._at + 2])

    @property
    def stream_sequence(self) -> int:
        """The message's sequence in its stream."""
        return int(self._tokens[self._at + 3])

    @property
    def published_at(self) -> datetime:
        """When the stream stored the message."""
        return _EPOCH + timedelta(microseconds=int(self._tokens[self._at + 5]) // 1000)

    @property
    def behind(self) -> int:
        """Messages of the stream that waited for the consumer when this one was sent."""
        return int(self._tokens[self._at + 6])

    async def ack(self) -> None:
        """The work is done. Does not yield to the loop, so it leaves in one write with what was published before."""
        self._settler.settle(self, ACK, finished=True)

    async def nak(self, delay: timedelta) -> None:
        """The work is to be tried again, by any replica, after `delay`."""
        self._settler.settle(self, nak_payload(delay), finished=False)

    async def term(self, reason: str = "") -> None:
        """The work is given up: the server must not deliver it again."""
        self._settler.settle(self, term_payload(reason), finished=True)

    async def still_ours(self) -> bool:
        """Return whether the server still counts it as ours; ask before an effect that must not happen twice.

        Costs nothing while heartbeats are confirmed. After the process was held up for long, frozen for example,
        it asks the server first.
        """
        return await self._settler.still_owns(self)

    def adopt(self, msg: Msg) -> None:
        """Take over a later delivery of the same message: it is being worked on, and is ours again."""
        self._read_reply(msg.reply)

    def lose(self) -> None:
        """The server may have given it to another replica."""
        self.settled = True
        if self.on_lost is not None:
            self.on_lost()

    def _read_reply(self, reply: str) -> None:
        self.reply = reply
        self.held_since = time.monotonic()
        tokens = self._tokens = reply.split(".")
        at = self._at = 2 if len(tokens) == _SHORT_FORM else 4
        self.key = (tokens[at + 3], tokens[at + 5])


def nak_payload(delay: timedelta) -> bytes:
    """Return a negative acknowledgement that asks for the message after `delay`."""
    nanoseconds = int(delay.total_seconds() * 1_000_000_000)
    return _NAK if nanoseconds <= 0 else b'%b {"delay":%d}' % (_NAK, nanoseconds)


def term_payload(reason: str) -> bytes:
    """Return a termination; the server repeats the reason in its advisory."""
    return b"%b %b" % (_TERM, reason.encode("utf-8", "replace")) if reason else _TERM
