from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deploy.local.parts import SERVICES
from deploy.local.supervisor import Backoff, Child, ChildSpec, Supervisor

ROOT = Path(__file__).parents[3]
FAST = Backoff(first=0.01, most=0.04, forgive=60)

LOW_PORTS = range(20_000, 32_000, len(SERVICES))
"""Where to look for ports in a row: below those that the system hands out one by one."""


def health_ports() -> str:
    """Return the first of as many free ports in a row as there are services."""
    while True:
        first = random.choice(LOW_PORTS)
        try:
            for port in range(first, first + len(SERVICES)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return str(first)


@dataclass
class Stage:
    """A supervisor of small real processes, and what it said."""

    supervisor: Supervisor
    folder: Path
    said: list[str] = field(default_factory=list)

    async def start(self, name: str, code: str, **options: float) -> Child:
        """Start a Python program that is ready when it has written the file `<name>.ready`."""
        return await self.supervisor.start(self.spec(name, code, **options))

    def spec(self, name: str, code: str, **options: float) -> ChildSpec:
        mark = self.folder / f"{name}.ready"
        mark.unlink(missing_ok=True)

        async def ready() -> bool:
            return mark.exists()

        command = (sys.executable, "-S", "-c", code)
        return ChildSpec(
            name,
            command,
            ready,
            environment={"READY": str(mark), "FOLDER": str(self.folder)},
            start_seconds=options.get("start_seconds", 10.0),
            stop_seconds=options.get("stop_seconds", 5.0),
        )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    said: list[str] = []
    supervisor = Supervisor(tmp_path, tmp_path / "logs", said.append, FAST)
    try:
        yield Stage(supervisor, tmp_path, said)
    finally:
        await supervisor.stop()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def running() -> Callable[[int], bool]:
    return is_running


class StackRunner:
    """Runs ``python -m deploy.local`` with a state directory and an environment of its own."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self, environment: dict[str, str], command: Sequence[str] = ("-m", "deploy.local")
    ) -> asyncio.subprocess.Process:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "COLUMNS"}}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", *command),
            cwd=ROOT,
            env={**kept, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

        self._stack.push_async_callback(end)
        return process


@pytest.fixture
async def run_stack() -> AsyncIterator[StackRunner]:
    async with AsyncExitStack() as stack:
        yield StackRunner(stack)
