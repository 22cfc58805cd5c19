"""A server for probes and scrapes: a few paths, GET and HEAD, one request a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import httptools

__all__ = ["HttpResponse", "HttpServer"]

_LONGEST_REQUEST: Final = 16 * 1024
_PATIENCE: Final = 10.0
"""Seconds a request may take to arrive."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What is answered.

    Attributes:
        status: The HTTP status.
        body: The body.
        headers: Besides length and connection, which are added.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, with_body: bool) -> bytes:
        """Return it as it goes on the wire."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        reason = HTTPStatus(self.status).phrase
        head = (
            f"HTTP/1.1 {self.status} {reason}\r\n{lines}Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("latin-1") + (self.body if with_body else b"")


Route = Callable[[], Awaitable[HttpResponse]]


class HttpServer:
    """Listens, and answers its routes.

    Args:
        routes: What answers each path. It raises nothing.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0
        """The port it listens on, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: The port is in use or the address is not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._routes, self._connections), host, port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, and close what is open. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.close()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, routes: Mapping[str, Route], connections: set[_Connection]) -> None:
        self._routes = routes
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._received = 0
        self._url = b""
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        if self._answering is not None:
            return
        self._received += len(data)
        try:
            if self._received > _LONGEST_REQUEST:
                self._answer(HttpResponse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            else:
                self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._answer(HttpResponse(HTTPStatus.BAD_REQUEST))

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        method = self._parser.get_method()
        route = self._routes.get(self._url.partition(b"?")[0].decode("latin-1"))
        if route is None:
            self._answer(HttpResponse(HTTPStatus.NOT_FOUND))
        elif method not in {b"GET", b"HEAD"}:
            self._answer(HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"}))
        else:
            self._answer(await route(), with_body=method == b"GET")

    def _answer(self, response: HttpResponse, *, with_body: bool = True) -> None:
        if self._transport is not None:
            self._transport.write(response.encode(with_body=with_body))
            self._transport.close()

    def close(self) -> None:
        """Close the connection, whatever it is doing."""
        if self._transport is not None:
            self._transport.abort()
