"""The body of an answer that is read while it is being written."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from handler_base.clients.breaker import CircuitBreaker
from handler_base.clients.failures import mid_stream_error
from handler_base.errors import FleetError, UpstreamError

__all__ = ["HttpStream"]

_LAST_WAIT: Final = 0.05
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


class HttpStream:
    """An open answer with status 2xx. Whoever got it closes it.

    Attributes:
        content_type: As the server sent it, with parameters; empty where it sent none.
    """

    __slots__ = ("_breaker", "_content", "_most_bytes", "_received", "_response", "content_type")

    def __init__(self, response: aiohttp.ClientResponse, breaker: CircuitBreaker, most_bytes: int) -> None:
        self._response = response
        self._content = response.content
        self._breaker = breaker
        self._most_bytes = most_bytes
        self._received = 0
        self.content_type = response.headers.get("Content-Type", "")

    async def read(self) -> bytes:
        """Return what has arrived, waiting until there is something; empty at the end.

        Raises:
            UpstreamError: The stream broke off, fell silent, or is longer than may be read.
            DeadlineExceededError: The deadline of the call passed.
        """
        try:
            data = await self._content.readany()
        except _FAILURES as error:
            raise self._broken(error) from error
        self._received += len(data)
        if self._received > self._most_bytes:
            self.close()
            raise UpstreamError("A model server's answer does not end.")
        return data

    async def read_after(self, seconds: float) -> bytes:
        """Let the answer gather for some time, then return all of it that has arrived, as `read` does.

        Meanwhile the socket is not read: what comes in gathers in the kernel, and a server that sends token by
        token does not wake the event loop for each.
        """
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is None or self._content.is_eof():
            return await self.read()
        transport.pause_reading()
        try:
            await asyncio.sleep(seconds)
        finally:
            if not transport.is_closing():
                transport.resume_reading()
        return await self.read()

    async def read_all(self) -> bytes:
        """Return the rest, as `read` does."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def finish(self) -> None:
        """Wait a moment for the end of an answer of which nothing more is wanted, so that the connection is kept."""
        if self._content.is_eof():
            return
        try:
            async with asyncio.timeout(_LAST_WAIT):
                while await self._content.readany():
                    pass
        except _FAILURES:
            # All that was wanted is here; the connection is closed, and that is all.
            self.close()

    def close(self) -> None:
        """Close the connection at once, unless the whole answer has been read."""
        self._response.close()

    def _broken(self, error: Exception) -> FleetError:
        self.close()
        self._breaker.failure()
        return mid_stream_error(error)
