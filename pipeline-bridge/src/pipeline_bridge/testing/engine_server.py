"""What the fakes share: a server on a free port that wants a token, fails as told, and notes what was asked wrongly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

__all__ = ["Failure", "FakeEngineServer"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Failure:
    """Answers of an error status, or cuts of the connection.

    Attributes:
        path: Part of the path of the requests that fail.
        status: Of the answer; 0: the connection is cut.
        times: How many requests fail.
        method: Of the requests that fail; empty: any.
        after: Whether the request is done before it is answered with the failure.
    """

    path: str
    status: int
    times: int = 1
    method: str = ""
    after: bool = False


class FakeEngineServer:
    """A fake of an engine's server; use it as an asynchronous context manager.

    Attributes:
        token: What requests must bear; empty: nothing.
        failures: What is to fail; each is gone when it has failed often enough.
        asked: Method and path of every request, in order.
        wrong: What in the requests does not follow the official models; a test that uses the fake checks that it is
            empty.
    """

    def __init__(self, *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.token = token
        self.failures: list[Failure] = []
        self.asked: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self._tls = tls
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def routes(self) -> dict[tuple[str, str], Answer]:
        """Return what answers each method and path."""
        raise NotImplementedError

    def failed(self, status: int, message: str) -> web.Response:
        """Return an error as gRPC's gateway writes it."""
        code = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 503: 14}.get(status, 13)
        return web.json_response({"code": code, "message": message, "details": []}, status=status)

    def count(self, method: str, part: str) -> int:
        """Return how many requests of a method had a part in their path."""
        return sum(asked == method and part in path for asked, path in self.asked)

    async def start(self) -> None:
        """Listen; on the same port as before after a `stop`."""
        app = web.Application()
        for (method, path), answer in self.routes().items():
            app.router.add_route(method, path, self._guarded(answer))
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _guarded(self, answer: Answer) -> Answer:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.asked.append((request.method, request.path))
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                return self.failed(401, "token not valid")
            failure = self._failure(request)
            if failure is None:
                return await answer(request)
            if failure.after:
                await answer(request)
            if failure.status == 0:
                assert request.transport is not None  # noqa: S101 - it is being answered
                request.transport.abort()
                await asyncio.sleep(0)
                return web.Response()
            return self.failed(failure.status, "as the test wants it: secret-address.internal")

        return guarded

    def _failure(self, request: web.Request) -> Failure | None:
        for failure in self.failures:
            if failure.path in request.path and failure.method in {"", request.method}:
                failure.times -= 1
                if failure.times <= 0:
                    self.failures.remove(failure)
                return failure
        return None
