"""A receiver of OTLP/HTTP on a real socket, which keeps what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from aiohttp import web

__all__ = ["OtlpReceiver", "OtlpRequest"]


@dataclass(frozen=True, slots=True)
class OtlpRequest:
    """One request as it came.

    Attributes:
        path: ``/v1/traces`` or ``/v1/metrics``.
        headers: Names in lower case.
        body: The JSON, as bytes.
    """

    path: str
    headers: dict[str, str]
    body: bytes


class OtlpReceiver:
    """Accepts everything, save what `script` says.

    Attributes:
        url: The endpoint to configure.
        script: Status and body of the next answers, in order; when it is empty everything is accepted.
        requests: What has come so far.
        accepting: Cleared, it keeps every request waiting for its answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.script: list[tuple[int, bytes]] = []
        self.requests: list[OtlpRequest] = []
        self.accepting = asyncio.Event()
        self.accepting.set()
        self._arrived = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        """Listen on a free port of 127.0.0.1."""
        receiver = cls()
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/v1/{kind}", receiver._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield receiver
        finally:
            receiver.accepting.set()
            await runner.cleanup()

    async def wait_for(self, count: int, budget: timedelta = timedelta(seconds=5)) -> None:
        """Return when at least `count` requests have come.

        Raises:
            TimeoutError: They have not come within `budget`.
        """
        async with asyncio.timeout(budget.total_seconds()), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    def bodies(self, path: str) -> list[bytes]:
        """Return the bodies that came to `path`."""
        return [request.body for request in self.requests if request.path == path]

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = OtlpRequest(request.path, headers, await request.read())
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        await self.accepting.wait()
        status, body = self.script.pop(0) if self.script else (200, b"{}")
        return web.Response(status=status, body=body, content_type="application/json")
