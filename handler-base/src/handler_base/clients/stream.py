"""The body of an answer that is read while it is being written."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from handler_base.clients.breaker import CircuitBreaker
from handler_base.clients.failures import mid_stream_error
from handler_base.deadline import Deadline
from handler_base.errors import FleetError, UpstreamError
from handler_base.http import HttpConnection, Origin, SilentError, TooLongError, WireError

__all__ = ["HttpStream"]

_LAST_WAIT: Final = 0.05


class HttpStream:
    """An open answer with status 2xx. Whoever got it closes it.

    Attributes:
        content_type: As the server sent it, with parameters; empty where it sent none.
    """

    __slots__ = ("_between", "_breaker", "_connection", "_deadline", "_open", "_origin", "content_type")

    def __init__(
        self,
        connection: HttpConnection,
        origin: Origin,
        breaker: CircuitBreaker,
        deadline: Deadline,
        between: timedelta,
    ) -> None:
        self._connection = connection
        self._origin = origin
        self._breaker = breaker
        self._deadline = deadline
        self._between = between.total_seconds()
        self._open = True
        self.content_type = connection.headers.get(b"content-type", b"").decode("latin-1")

    async def read(self) -> bytes:
        """Return what has arrived, waiting until there is something; empty at the end.

        Raises:
            UpstreamError: The stream broke off, fell silent, or is longer than may be read.
            DeadlineExceededError: The deadline of the call passed.
        """
        remaining = self._deadline.remaining()
        late = SilentError if self._between < remaining else TimeoutError
        try:
            return await self._connection.data(min(self._between, remaining), late)
        except (WireError, TimeoutError) as error:
            raise self._broken(error) from error

    async def read_after(self, seconds: float) -> bytes:
        """Let the answer gather for some time, or to its end, then return all of it that has arrived, as `read` does.

        Whoever reads is woken once for all that came meanwhile, not for each token.
        """
        await self._connection.gather(seconds)
        return await self.read()

    async def read_all(self) -> bytes:
        """Return the rest, as `read` does."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def finish(self) -> None:
        """Wait a moment for the end of an answer of which nothing more is wanted, so that the connection is kept."""
        await self._connection.gather(_LAST_WAIT)

    def close(self) -> None:
        """Give the connection back where the whole answer has come; otherwise close it at once."""
        if self._open:
            self._open = False
            if self._connection.complete:
                self._origin.give_back(self._connection)
            else:
                self._connection.abort()

    def _broken(self, error: Exception) -> FleetError:
        self.close()
        if isinstance(error, TooLongError):
            return UpstreamError("A model server's answer does not end.")
        self._breaker.failure()
        return mid_stream_error(error)
