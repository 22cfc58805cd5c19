"""One server: its address, its credentials, its breaker, and one attempt at calling it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from handler_base.clients.addresses import BaseUrl
from handler_base.clients.breaker import BreakerState, CircuitBreaker
from handler_base.clients.failures import AttemptError, error_for_exception, error_for_status
from handler_base.clients.stream import HttpStream
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError
from handler_base.http import ConnectError, DisconnectedError, HttpConnection, HttpPool, SilentError, WireError
from handler_base.telemetry import SpanContext, inject, metrics

__all__ = ["JSON", "Endpoint", "HttpAnswer", "HttpRequest", "StreamTimeouts"]

JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json", "Accept": "application/json"}

_FAILURES: Final = (ConnectError, WireError, TimeoutError)
_PATIENCE: Final = 1.0
"""A server that does not answer within this many seconds is taken for unhealthy; a shorter deadline says nothing."""
_LONGEST_CONNECT: Final = 3.0
_BODY_OF_FAILURE: Final = 64 * 1024


@dataclass(slots=True)
class HttpRequest:
    """What is sent.

    Attributes:
        path: Begins with a slash, or is empty for the base URL itself; a query in it is encoded already.
        body: Bytes as they go on the wire.
        headers: Sent besides those of the endpoint.
        method: The HTTP method.
    """

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    method: str = "POST"


@dataclass(slots=True)
class HttpAnswer:
    """What came back.

    Attributes:
        status: The HTTP status.
        body: All of it.
        content_type: As the server sent it, with parameters; empty where it sent none.
    """

    status: int
    body: bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """How long a stream may be silent.

    Attributes:
        first: Until the answer begins.
        between: Between two pieces of it.
    """

    first: timedelta = timedelta(seconds=60)
    between: timedelta = timedelta(seconds=20)


class Endpoint:
    """One of the servers of a client.

    Args:
        client: Name of the client, for metrics.
        base: Where the server is.
        pool: The connections.
        api_key: Sent as a bearer token; empty for none.
        most_bytes: Longest answer that is read.

    Attributes:
        base: Where the server is.
        breaker: Whether it may be called.
    """

    def __init__(self, client: str, base: BaseUrl, pool: HttpPool, *, api_key: str, most_bytes: int) -> None:
        self.base = base
        state = metrics.CIRCUIT_BREAKER_STATE.of(client, base.label)
        state.set(BreakerState.CLOSED)
        self.breaker = CircuitBreaker(on_change=state.set)
        self._origin = pool.origin(base.url)
        self._most_bytes = most_bytes
        authorization = f"Bearer {api_key}" if api_key else base.authorization
        self._headers: dict[str, str] = {"Authorization": authorization} if authorization else {}
        self._heads: dict[str, tuple[Mapping[str, str], str]] = {}

    async def exchange(
        self,
        request: HttpRequest,
        *,
        deadline: Deadline,
        context: SpanContext | None = None,
        passing: Collection[int] = (),
    ) -> HttpAnswer:
        """Send a request and read the whole answer.

        Args:
            request: What to send.
            deadline: When the answer is due.
            context: The trace to pass on; None for the current one.
            passing: Statuses other than 2xx that are returned like any answer.

        Raises:
            AttemptError: There is no such answer.
        """
        remaining = deadline.remaining()
        try:
            connection = await self._ask(request, deadline, context, wait=remaining, silent=None)
            return await self._whole(connection, deadline, passing)
        except _FAILURES as error:
            raise error_for_exception(error, patient=remaining >= _PATIENCE) from error

    async def open(
        self,
        request: HttpRequest,
        *,
        deadline: Deadline,
        timeouts: StreamTimeouts,
        context: SpanContext | None = None,
        passing: Collection[int] = (),
    ) -> HttpStream | HttpAnswer:
        """Send a request and return the answer as a stream as soon as it begins.

        Args:
            request: What to send.
            deadline: When the end of the answer is due.
            timeouts: How long the server may be silent.
            context: The trace to pass on; None for the current one.
            passing: Statuses other than 2xx that are returned as an `HttpAnswer`.

        Raises:
            AttemptError: There is no such answer.
        """
        remaining = deadline.remaining()
        try:
            connection = await self._ask(
                request, deadline, context, wait=timeouts.first.total_seconds(), silent=SilentError
            )
            if connection.status >= 300:
                return await self._whole(connection, deadline, passing)
        except _FAILURES as error:
            raise error_for_exception(error, patient=remaining >= _PATIENCE) from error
        return HttpStream(connection, self._origin, self.breaker, deadline, timeouts.between)

    async def _ask(
        self,
        request: HttpRequest,
        deadline: Deadline,
        context: SpanContext | None,
        *,
        wait: float,
        silent: type[SilentError] | None,
    ) -> HttpConnection:
        """Send a request, and wait for the head of the answer, or for all of it where `silent` is None."""
        payload = self._payload(request, context)
        connection = self._origin.take()
        while True:
            reused = connection is not None
            remaining = deadline.remaining()
            if not remaining:
                raise AttemptError(DeadlineExceededError(), "deadline", elsewhere=False)
            if connection is None:
                connection = await self._connect(remaining)
                remaining = deadline.remaining()
            connection.send(payload, most_bytes=self._most_bytes, streaming=silent is not None)
            late = silent if silent is not None and wait < remaining else TimeoutError
            try:
                await connection.head(min(wait, remaining), late)
            except DisconnectedError:
                if not reused:
                    raise
                # The server had closed it as idle: that says nothing of the request.
                connection = self._origin.take()
            else:
                return connection

    async def _connect(self, remaining: float) -> HttpConnection:
        try:
            return await self._origin.connect(min(remaining, _LONGEST_CONNECT))
        except ConnectError as error:
            if isinstance(error.__cause__, TimeoutError) and remaining < _LONGEST_CONNECT:
                # It was the caller's deadline that ended it; whether the server can be reached is not known.
                raise TimeoutError from error
            raise

    async def _whole(self, connection: HttpConnection, deadline: Deadline, passing: Collection[int]) -> HttpAnswer:
        """Read the rest of an answer and free its connection; a status that is an error is raised."""
        status = connection.status
        refused = status >= 300 and status not in passing
        length = connection.headers.get(b"content-length", b"")
        if refused and not (length.isdigit() and int(length) <= _BODY_OF_FAILURE):
            connection.abort()
        else:
            body = await connection.body(deadline.remaining(), TimeoutError)
            self._origin.give_back(connection)
            if not refused:
                return HttpAnswer(status, body, connection.headers.get(b"content-type", b"").decode("latin-1"))
        retry_after = connection.headers.get(b"retry-after", b"").decode("latin-1")
        raise error_for_status(status, {"Retry-After": retry_after})

    def _payload(self, request: HttpRequest, context: SpanContext | None) -> bytes:
        known = self._heads.get(request.path)
        if known is not None and known[0] is request.headers:
            head = known[1]
        else:
            head = self._origin.head(request.method, request.path, {**self._headers, **request.headers})
            if "?" not in request.path:
                self._heads[request.path] = (request.headers, head)
        trace: dict[str, str] = {}
        inject(trace, context)
        lines = "".join([f"{name}: {value}\r\n" for name, value in trace.items()])
        body = request.body
        if body is None:
            return f"{head}{lines}\r\n".encode("latin-1")
        return f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
