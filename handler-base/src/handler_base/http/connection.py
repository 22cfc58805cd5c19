"""One HTTP/1.1 connection to a model server: requests one after the other, answers whole or as they are written.

httptools, the parser under uvicorn, reads what comes; this module waits, bounds and reuses. A question makes
four calls, and here one costs a third of what a general client needs: there are no redirects, cookies, proxies,
compression or hooks to provide for.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Final, cast

import httptools

__all__ = [
    "DisconnectedError",
    "HttpConnection",
    "ProtocolError",
    "SilentError",
    "TooLongError",
    "TruncatedError",
    "WireError",
]

_LONGEST_HEAD: Final = 1 << 19
"""Bytes that may come before the head is complete: more than one read of the event loop can bring."""

_HIGH_WATER: Final = 1 << 20
"""Bytes of a stream that may wait to be taken before the socket is left unread."""


class WireError(Exception):
    """The answer did not come as it should."""


class DisconnectedError(WireError):
    """The server closed the connection before its answer began."""


class TruncatedError(WireError):
    """The connection ended in the middle of the answer."""


class ProtocolError(WireError):
    """What came is not HTTP."""


class SilentError(WireError):
    """The server said nothing for too long."""


class TooLongError(WireError):
    """The answer is longer than may be read."""


class Moment(IntEnum):
    """How far an answer has come."""

    HEAD = 1
    DATA = 2
    END = 3


class HttpConnection(asyncio.Protocol):
    """A connection that carries one request at a time.

    Attributes:
        status: Of the answer, once its head is there.
        headers: Of the answer, names in lower case.
        complete: Whether the whole answer is there.
        usable: Whether another request may follow.
        idle_since: On the loop's clock, while it waits for one.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = True
        self.usable = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._parts: list[bytes] = []
        self._buffered = 0
        self._received = 0
        self._unread_head = 0
        self._most_bytes = 0
        self._streaming = False
        self._paused = False
        self._error: type[Exception] | None = None
        self._cause: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._awaited = Moment.END

    def send(self, request: bytes, *, most_bytes: int, streaming: bool = False) -> None:
        """Send a request; the answer to the one before has been read.

        Args:
            request: Head and body.
            most_bytes: Longest answer that is read.
            streaming: Whether the answer is taken piece by piece; otherwise all of it is kept until the end.
        """
        self.status = 0
        self.headers = {}
        self.complete = False
        self.usable = False
        self._parser = httptools.HttpResponseParser(self)
        self._parts = []
        self._buffered = self._received = self._unread_head = 0
        self._most_bytes = most_bytes
        self._streaming = streaming
        self._error = self._cause = None
        if self._transport is None:
            self._error = DisconnectedError
        else:
            self._transport.write(request)

    async def head(self, seconds: float, late: type[Exception]) -> None:
        """Wait for the head of the answer.

        Args:
            seconds: How long.
            late: Raised when that was not enough; the connection is closed then, as after every error here.
        """
        await self._wait(Moment.HEAD, seconds, late)

    async def body(self, seconds: float, late: type[Exception]) -> bytes:
        """Wait for the end of the answer, and return all of it that was not taken."""
        await self._wait(Moment.END, seconds, late)
        return self._take()

    async def data(self, seconds: float, late: type[Exception]) -> bytes:
        """Return what has come, waiting until there is something; empty at the end."""
        if not self._parts and not self.complete:
            await self._wait(Moment.DATA, seconds, late)
        elif self._error is not None:
            raise self._error from self._cause
        return self._take()

    async def gather(self, seconds: float) -> None:
        """Let the answer gather for some time, or until it is complete or broken."""
        if not self.complete and self._error is None:
            await self._wait(Moment.END, seconds, None)

    def abort(self) -> None:
        """Close the connection at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self, moment: Moment, seconds: float, late: type[Exception] | None) -> None:
        if self._error is None and not self._reached(moment):
            waiter = self._waiter = self._loop.create_future()
            self._awaited = moment
            timer = self._loop.call_later(seconds, self._late, late)
            try:
                await waiter
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                timer.cancel()
                self._waiter = None
        if self._error is not None and late is not None:
            raise self._error from self._cause

    def _reached(self, moment: Moment) -> bool:
        if self.complete:
            return True
        return moment is Moment.HEAD and self.status > 0

    def _late(self, error: type[Exception] | None) -> None:
        if error is None:
            self._wake()
        else:
            self._fail(error)

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: type[Exception], cause: Exception | None = None) -> None:
        if self._error is None:
            # Not an exception yet: raised, it would hold this connection, and the connection it.
            self._error, self._cause = error, cause
        self.abort()
        self._wake()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._parser is None or self.complete:
            # Nobody asked: whatever this is, it must not be taken for the next answer.
            self.abort()
            return
        if not self.status:
            self._unread_head += len(data)
            if self._unread_head > _LONGEST_HEAD:
                self._fail(TooLongError)
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ProtocolError, error.with_traceback(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; an answer without a length ends with its connection."""
        self._transport = self._parser = None
        self.usable = False
        if self.complete:
            return
        if exc is None and self.status and not self._has_length():
            self.complete = True
            self._wake()
        else:
            self._fail(TruncatedError if self.status else DisconnectedError)

    def _has_length(self) -> bool:
        return b"content-length" in self.headers or b"transfer-encoding" in self.headers

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; one that follows the end of the answer belongs to nothing that was asked."""
        if self.complete:
            self.usable = False
            return
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note the head."""
        assert self._parser is not None  # noqa: S101 - it is what calls
        status = self._parser.get_status_code()
        if status < 200 or self.complete:
            return
        self.status = status
        if self._awaited is Moment.HEAD:
            self._wake()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self.complete:
            return
        size = len(body)
        self._received += size
        self._buffered += size
        if self._received > self._most_bytes:
            self._fail(TooLongError)
            return
        self._parts.append(body)
        if self._streaming:
            if self._awaited is Moment.DATA:
                self._wake()
            if self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        assert self._parser is not None  # noqa: S101 - it is what calls
        if self.complete:
            return
        if not self.status:
            self.headers = {}  # an interim answer, such as 100 Continue
            return
        self.complete = True
        self.usable = self._error is None and self._transport is not None and self._parser.should_keep_alive()
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._wake()
