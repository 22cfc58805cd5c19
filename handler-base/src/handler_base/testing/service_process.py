"""A service as a process of its own, as an orchestrator runs it: probed, stopped in peace, or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from handler_base.testing.nats_server import free_port
from handler_base.testing.waiting import wait_until

__all__ = ["ServiceProcess"]

_START_SECONDS: Final = 20.0


class ServiceProcess:
    """``python -m MODULE`` with settings from a mapping.

    Args:
        module: Such as ``chat_handler``.
        environment: Settings besides those every test wants.
    """

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._module = module
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self.health_port = free_port()
        self.log_path = Path(tempfile.mkstemp(suffix=f"-{module}.log")[1])

    @property
    def pid(self) -> int:
        """Process id, or 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    async def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it is ready unless told not to.

        Raises:
            TimeoutError: It did not become ready; see `log`.
        """
        environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "COVERAGE_PROCESS_START"}},
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": str(self.health_port),
            **self._environment,
        }
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, env=environment, stdout=log, stderr=log
            )
        if wait:
            await wait_until(self.is_ready, timeout=_START_SECONDS, every=0.02)
        return self

    async def is_ready(self) -> bool:
        """Ask /ready, as a kubelet does."""
        return await self._status("/ready") == 200

    async def is_alive(self) -> bool:
        """Ask /health, as a kubelet does."""
        return await self._status("/health") == 200

    async def terminate(self, *, within: float | None = None) -> int:
        """Send SIGTERM and wait for the end.

        Args:
            within: Seconds until it is killed, as an orchestrator does; None: never.

        Returns:
            The exit code; below 0 when it was killed.
        """
        process = self._process
        try:
            async with asyncio.timeout(within):
                return await self._end(signal.SIGTERM)
        except TimeoutError:
            self._process = process
            return await self._end(signal.SIGKILL)

    async def kill(self) -> None:
        """End it without notice."""
        await self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send any signal."""
        if self._process is not None:
            self._process.send_signal(number)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        self.log_path.unlink(missing_ok=True)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()

    async def _status(self, path: str) -> int:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self.health_port}{path}") as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
