"""One server: its address, its credentials, its breaker, and one attempt at calling it."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

import aiohttp
from yarl import URL

from handler_base.clients.addresses import BaseUrl
from handler_base.clients.breaker import BreakerState, CircuitBreaker
from handler_base.clients.failures import AttemptError, error_for_exception, error_for_status
from handler_base.clients.stream import HttpStream
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError, UpstreamError
from handler_base.telemetry import SpanContext, inject, metrics

__all__ = ["JSON", "Endpoint", "HttpAnswer", "HttpRequest", "SessionSource", "StreamTimeouts"]

JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json", "Accept": "application/json"}

_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)
_PATIENCE: Final = 1.0
"""A server that does not answer within this many seconds is taken for unhealthy; a shorter deadline says nothing."""
_LONGEST_CONNECT: Final = 3.0
_LARGE_BODY: Final = 1 << 20
_BODY_OF_FAILURE: Final = 64 * 1024


class SessionSource(Protocol):
    """What an endpoint needs of the pool."""

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of this process."""
        ...


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
        pool: Where the session comes from.
        api_key: Sent as a bearer token; empty for none.
        most_bytes: Longest answer that is read.

    Attributes:
        base: Where the server is.
        breaker: Whether it may be called.
    """

    def __init__(self, client: str, base: BaseUrl, pool: SessionSource, *, api_key: str, most_bytes: int) -> None:
        self.base = base
        state = metrics.CIRCUIT_BREAKER_STATE.of(client, base.label)
        state.set(BreakerState.CLOSED)
        self.breaker = CircuitBreaker(on_change=state.set)
        self._pool = pool
        self._most_bytes = most_bytes
        authorization = f"Bearer {api_key}" if api_key else base.authorization
        self._headers: dict[str, str] = {"Authorization": authorization} if authorization else {}
        self._urls: dict[str, URL] = {}

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
        timeout = aiohttp.ClientTimeout(total=remaining, sock_connect=min(remaining, _LONGEST_CONNECT))
        try:
            response = await self._send(request, timeout, context)
            status = response.status
            if status >= 300 and status not in passing:
                raise await self._refusal(response)
            body = await self._read(response)
        except _FAILURES as error:
            raise error_for_exception(error, patient=remaining >= _PATIENCE) from error
        return HttpAnswer(status, body, response.headers.get("Content-Type", ""))

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
        timeout = aiohttp.ClientTimeout(
            total=remaining,
            sock_connect=min(remaining, _LONGEST_CONNECT),
            sock_read=timeouts.first.total_seconds(),
        )
        try:
            response = await self._send(request, timeout, context)
            status = response.status
            if status < 300:
                connection = response.connection
                if connection is not None and connection.protocol is not None:
                    connection.protocol.read_timeout = timeouts.between.total_seconds()
                    connection.protocol.start_timeout()
                return HttpStream(response, self.breaker, self._most_bytes)
            if status not in passing:
                raise await self._refusal(response)
            return HttpAnswer(status, await self._read(response), response.headers.get("Content-Type", ""))
        except _FAILURES as error:
            raise error_for_exception(error, patient=remaining >= _PATIENCE) from error

    async def _send(
        self, request: HttpRequest, timeout: aiohttp.ClientTimeout, context: SpanContext | None
    ) -> aiohttp.ClientResponse:
        if timeout.total == 0:
            raise AttemptError(DeadlineExceededError(), "deadline", elsewhere=False)
        headers = {**self._headers, **request.headers}
        inject(headers, context)
        body = request.body
        data = io.BytesIO(body) if body is not None and len(body) >= _LARGE_BODY else body
        return await self._pool.session.request(
            request.method,
            self._urls.get(request.path) or self._url(request.path),
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        )

    def _url(self, path: str) -> URL:
        url = URL(self.base.url + path, encoded=True)
        if "?" not in path:
            self._urls[path] = url
        return url

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the whole body; the connection is free again, or closed."""
        content = response.content
        try:
            # Most answers are one packet and lie ready here.
            body = await content.readany()
            if content.is_eof() and content.at_eof():
                if len(body) > self._most_bytes:
                    raise _too_long()
                return body
            parts = [body]
            size = len(body)
            while part := await content.readany():
                parts.append(part)
                size += len(part)
                if size > self._most_bytes:
                    raise _too_long()
            return b"".join(parts)
        except BaseException:
            response.close()
            raise

    async def _refusal(self, response: aiohttp.ClientResponse) -> AttemptError:
        """Return what an error status means; a short body is read so that the connection can be used again."""
        length = response.content_length
        if length is not None and length <= _BODY_OF_FAILURE:
            await self._read(response)
        else:
            response.close()
        return error_for_status(response.status, response.headers)


def _too_long() -> AttemptError:
    return AttemptError(UpstreamError("A model server's answer is too long."), "too_long", unhealthy=True)
