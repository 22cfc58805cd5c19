"""Processes of the bench: started, awaited, measured from outside and stopped."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

__all__ = ["ROOT", "StartError", "Worker", "free_port", "http_status"]

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout root."""

_STOP_SECONDS: Final = 10.0
_LOG_TAIL: Final = 1500


class StartError(Exception):
    """A process of the bench did not come up; the text says which and shows the end of its log."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def http_status(port: int, path: str) -> int:
    """Return the status of a GET on 127.0.0.1, or 0 when nothing answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        return int(line.split()[1]) if line.startswith(b"HTTP/") else 0
    except OSError:
        return 0
    finally:
        writer.close()


class Worker:
    """A started process.

    Attributes:
        name: Its name in tables and messages.
        pid: Its process id.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._stats = psutil.Process(process.pid)
        self._log = log

    @classmethod
    async def start(cls, name: str, command: Sequence[str], *, logs: Path, env: Mapping[str, str]) -> Worker:
        """Start `command` in the checkout root; its error output goes to a file in `logs`."""
        log = logs / f"{name.replace(' ', '-')}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=output
            )
        return cls(name, process, log)

    @classmethod
    async def start_python(cls, name: str, module: str, *arguments: str, logs: Path, env: Mapping[str, str]) -> Worker:
        """Start ``python -m module`` with the interpreter of this process."""
        return await cls.start(name, [sys.executable, "-m", module, *arguments], logs=logs, env=env)

    async def line(self, seconds: float = 20.0) -> str:
        """Return the next line of its output.

        Raises:
            StartError: It ended, or said nothing in time.
        """
        assert self._process.stdout is not None  # noqa: S101 - started with a pipe
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise self._failed(f"said nothing within {seconds:g} s") from None
        if not line:
            raise self._failed("ended")
        return line.decode().strip()

    async def ready(self, port: int, seconds: float = 30.0, *, interval: float = 0.01) -> None:
        """Wait until ``/ready`` on `port` answers 200.

        Raises:
            StartError: It ended, or was not ready in time.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while await http_status(port, "/ready") != 200:
            if self._process.returncode is not None:
                raise self._failed("ended")
            if loop.time() > due:
                raise self._failed(f"was not ready within {seconds:g} s")
            await asyncio.sleep(interval)

    def drain_output(self) -> asyncio.Task[None]:
        """Throw away what it prints from now on, so that it never waits for a reader; returns the reading task."""

        async def read() -> None:
            assert self._process.stdout is not None  # noqa: S101 - started with a pipe
            while await self._process.stdout.read(65536):
                pass

        return asyncio.create_task(read())

    def _failed(self, what: str) -> StartError:
        tail = self._log.read_text(errors="replace")[-_LOG_TAIL:] if self._log.exists() else ""
        return StartError(f"{self.name} {what}. End of its log ({self._log}):\n{tail}")

    def cpu_seconds(self) -> float:
        """User and system time it has used since its start."""
        times = self._stats.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(self._stats.memory_info().rss)

    def has_mapped(self, *names: str) -> list[str]:
        """Return those of `names` that occur in the path of a file mapped into its memory."""
        maps = Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8")
        return [name for name in names if name in maps]

    async def stop(self) -> None:
        """End it in the kind way, and after a while in the other."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
