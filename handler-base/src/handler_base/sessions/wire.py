"""One connection to the store: commands go out one after the other, replies come back in the same order.

hiredis packs and parses; this module matches replies to those who wait for them, and gives the connection up
as soon as that is no longer certain.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

__all__ = ["Argument", "LinkDownError", "LinkError", "RefusedError", "Settled", "Wire", "error_code", "pack"]

Argument = str | bytes | int | float

Settled = Callable[[object], None]
"""Told the reply, or the `LinkError` there is instead."""

_MOST_COMMANDS: Final = 4096
"""Commands that may wait for their replies; a store that is that far behind answers nobody in time."""

_MOST_BYTES: Final = 16 << 20
"""Bytes that may wait for the socket to take them."""

_LONGEST_REPLY: Final = 64 << 20

_UNUSABLE: Final = frozenset({"LOADING", "NOAUTH", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "BUSY"})
_CODES: Final = _UNUSABLE | {"MISCONF", "NOPERM", "NOREPLICAS", "NOSCRIPT", "OOM", "WRONGPASS", "WRONGTYPE"}
_WORDS: Final = re.compile("[A-Z]+").findall

_READ_SIZE: Final = 64 << 10
"""Bytes that are read at once."""

_PIECE: Final = 8 << 10
"""Bytes the parser is given at once: after every reply it moves all that it has left."""

_GRACE: Final = 0.002
"""Seconds between a reply being late and the connection being given up.

When the event loop itself was held up, replies that are there already are read in between.
"""


class LinkError(Exception):
    """A command that brought no reply, or a refusal."""


class LinkDownError(LinkError):
    """There is no connection, or it was lost before the reply came."""


class RefusedError(LinkError):
    """The store answered with an error.

    Attributes:
        code: Which one, such as `OOM`; never the store's own words, which may quote what was sent.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)

    @property
    def unusable(self) -> bool:
        """Whether any other command would be refused too, or this is no longer the server to ask."""
        return self.code in _UNUSABLE


def error_code(text: str) -> str:
    """Return which error the store's words tell of; a script's error holds that of the command it ran."""
    found = [word for word in _WORDS(text) if word in _CODES]
    return found[0] if found else "ERR"


def pack(*command: Argument) -> bytes:
    """Return a command as it goes on the wire.

    Raises:
        UnicodeEncodeError: An argument is no text.
    """
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub's Tuple means one item
    return packed


class Wire(asyncio.BufferedProtocol):
    """A connection that was made, until it is lost.

    Args:
        timeout: Seconds a reply may take; when one is late the connection is given up, so that it can never
            be taken for the reply to another command.
        lost: Called once when the connection ends, with whether anybody was waiting for a reply.
    """

    def __init__(self, timeout: float, lost: Callable[[Wire, bool], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._reader: Any = hiredis.Reader(notEnoughData=_NOTHING, replyError=_refused)
        self._waiting: deque[tuple[asyncio.Future[Any] | Settled, float]] = deque()
        self._out: list[bytes] = []
        # A view: TLS reads into slices of it, and a slice of a bytearray is a copy.
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._unparsed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._late: object = None

    def allow(self, timeout: float) -> None:
        """Change how long a reply may take, while none is awaited."""
        self._timeout = timeout - _GRACE if timeout > 2 * _GRACE else timeout
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command with all others of this turn of the event loop; the future brings the reply.

        Raises:
            LinkDownError: The connection is lost, or too much is waiting already.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._push(command, future)
        return future

    def post(self, command: bytes, settled: Settled) -> None:
        """Send a command with all others of this turn of the event loop; nobody waits for the reply.

        What the caller sends after it by other connections, and whose writing takes a turn of the loop as well,
        leaves after it.

        Args:
            command: What is sent, as `pack` writes it.
            settled: Told what became of it; must not raise.

        Raises:
            LinkDownError: As `send`.
        """
        self._push(command, settled)

    def _push(self, command: bytes, target: asyncio.Future[Any] | Settled) -> None:
        if self._transport is None:
            raise LinkDownError("lost")
        if len(self._waiting) >= _MOST_COMMANDS:
            raise LinkDownError("busy")
        self._out.append(command)
        self._waiting.append((target, self._loop.time() + self._timeout))
        if len(self._out) == 1:
            self._loop.call_soon(self.flush)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)

    def flush(self) -> None:
        """Hand what was sent to the socket now."""
        out = self._out
        if out and self._transport is not None:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
            if self._transport.get_write_buffer_size() > _MOST_BYTES:
                self.abort("busy")

    @property
    def alive(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    async def drain(self) -> None:
        """Wait until every reply is there, or the connection is lost."""
        self.flush()
        while self._waiting:
            # Answered after all that was sent before; what is then sent in reply to a refusal takes another turn.
            try:
                await self.send(_PING)
            except RefusedError:
                continue
            except LinkDownError:
                return

    def abort(self, reason: str = "closed") -> None:
        """Give the connection up; who waits gets `LinkDownError`."""
        transport, self._transport = self._transport, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if transport is None:
            return
        transport.abort()
        waiting, self._waiting = self._waiting, deque()
        self._out.clear()
        self._lost(self, bool(waiting))
        for target, _ in waiting:
            _settle(target, LinkDownError(reason))

    def _look(self) -> None:
        """See to the oldest command: one timer is enough, as all have the same time."""
        self._timer = None
        if not self._waiting:
            self._late = None
            return
        target, due = self._waiting[0]
        if target is self._late:
            self._late = None
            self.abort("silent")
        elif due <= self._loop.time():
            self._late = target
            self._timer = self._loop.call_later(_GRACE, self._look)
        else:
            self._timer = self._loop.call_at(due, self._look)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand each reply to who waits for it."""
        try:
            for start in range(0, nbytes, _PIECE):
                self._parse(self._buffer[start : min(start + _PIECE, nbytes)])
        except (hiredis.HiredisError, IndexError):
            # Not the protocol, or a reply nobody asked for: what follows cannot be trusted either.
            self.abort("garbled")
            return
        if self._unparsed > _LONGEST_REPLY:
            self.abort("garbled")

    def _parse(self, piece: memoryview) -> None:
        gets, waiting = self._reader.gets, self._waiting
        self._reader.feed(piece)
        self._unparsed += len(piece)
        reply = gets()
        while reply is not _NOTHING:
            self._unparsed = 0
            _settle(waiting.popleft()[0], reply)
            reply = gets()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.abort("lost")


class _Nothing:
    """Says that no reply is complete; nothing the store can send."""


_NOTHING: Final = _Nothing()
_PING: Final = pack("PING")


def _settle(target: asyncio.Future[Any] | Settled, reply: object) -> None:
    if not isinstance(target, asyncio.Future):
        target(reply)
    elif target.done():
        pass  # Who asked has stopped waiting.
    elif isinstance(reply, LinkError):
        target.set_exception(reply)
    else:
        target.set_result(reply)


def _refused(text: str) -> RefusedError:
    return RefusedError(error_code(text))
