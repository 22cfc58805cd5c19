"""Child processes: started in order, started again when they crash, stopped in reverse, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from handler_base.errors import UpstreamUnavailableError

__all__ = ["Backoff", "Child", "ChildSpec", "Supervisor", "tethered"]

_TETHER: Final = Path(__file__).with_name("tether.py")
_POLL_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 2.0
_TAIL_BYTES: Final = 4096


def tethered(*command: str) -> tuple[str, ...]:
    """Return the command that runs another one and has the kernel kill it when this process dies."""
    return (sys.executable, "-IS", str(_TETHER), str(os.getpid()), *command)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a crashed process is started again.

    Attributes:
        first: Seconds before the first restart; every further one waits twice as long.
        most: Most seconds.
        forgive: Seconds of life after which earlier crashes are forgotten.
    """

    first: float = 0.5
    most: float = 30.0
    forgive: float = 60.0

    def delay(self, crashes: int) -> float:
        """Return the seconds to wait after so many crashes in a row."""
        return float(min(self.first * 2 ** min(crashes - 1, 16), self.most))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process.

    Attributes:
        name: As people call it.
        command: Program and arguments; the program as an absolute path.
        ready: Tells whether it does its work.
        environment: Variables besides those of this process.
        start_seconds: Most time until it is ready.
        stop_signal: Asks it to end in an orderly way.
        stop_seconds: Time it gets for that.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0


class Child:
    """A supervised process.

    Args:
        spec: What it is.
        directory: Where it runs.
        log: File of its output.
        say: Takes one line for the user.
        backoff: Pace of restarts.
    """

    def __init__(
        self, spec: ChildSpec, *, directory: Path, log: Path, say: Callable[[str], None], backoff: Backoff
    ) -> None:
        self.spec = spec
        self.log = log
        self._directory = directory
        self._say = say
        self._backoff = backoff
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id, or 0 when it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else 0

    async def start(self) -> float:
        """Start it, wait until it is ready, and watch over it from then on.

        Returns:
            The seconds it took.

        Raises:
            UpstreamUnavailableError: It ended or was not ready in time; nothing of it runs any more.
        """
        begun = time.monotonic()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".previous.log"))
        process = await self._launch()
        try:
            await self._until_ready(process)
        except BaseException:
            # Whatever it was, Ctrl-C too: a child that nobody watches over must not stay.
            await self.kill()
            raise
        self._watch = asyncio.create_task(self._supervise(process), name=f"watch {self.spec.name}")
        return time.monotonic() - begun

    async def stop(self) -> float:
        """Ask it to end, and end it by force when that takes too long.

        Returns:
            The seconds it took.
        """
        begun = time.monotonic()
        await self._unwatch()
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(process, self.spec.stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.spec.stop_seconds)
        await self.kill()
        return time.monotonic() - begun

    async def kill(self) -> None:
        """End it, and whatever it started, at once."""
        await self._unwatch()
        process, self._process = self._process, None
        if process is not None:
            # Also after its end: what it started itself is in the same group.
            self._signal(process, signal.SIGKILL)
            await process.wait()

    def kill_now(self) -> None:
        """Send the signal of `kill` without waiting, for an exit that cannot wait."""
        if self._process is not None:
            self._signal(self._process, signal.SIGKILL)

    def last_line(self) -> str:
        """Return the last line of the log that says something."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    async def _launch(self) -> asyncio.subprocess.Process:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(*self.spec.command),
                cwd=self._directory,
                env={**os.environ, **self.spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which keeps the order.
                process_group=0,
            )
        return self._process

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        due = time.monotonic() + self.spec.start_seconds
        while not await self._looks_ready():
            if process.returncode is not None:
                raise UpstreamUnavailableError(f"{self._ending(process)}{self._reason()}")
            if time.monotonic() > due:
                raise UpstreamUnavailableError(
                    f"{self.spec.name} was not ready after {self.spec.start_seconds:g} s{self._reason()}"
                )
            await asyncio.sleep(_POLL_SECONDS)
        if process.returncode is not None:  # something else answered in its place
            raise UpstreamUnavailableError(f"{self._ending(process)}{self._reason()}")

    async def _looks_ready(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self.spec.ready()
        except (OSError, TimeoutError):
            return False

    async def _supervise(self, process: asyncio.subprocess.Process) -> None:
        crashes = 0
        while True:
            begun = time.monotonic()
            await process.wait()
            self._signal(process, signal.SIGKILL)
            crashes = 1 if time.monotonic() - begun > self._backoff.forgive else crashes + 1
            delay = self._backoff.delay(crashes)
            self._say(f"{self._ending(process)}; starting it again in {delay:g} s. Its log: {self._log_name}")
            await asyncio.sleep(delay)
            process = await self._launch()
            with contextlib.suppress(UpstreamUnavailableError):
                await self._until_ready(process)
                self._say(f"{self.spec.name} is back")

    async def _unwatch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})

    def _ending(self, process: asyncio.subprocess.Process) -> str:
        code = process.returncode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.spec.name} {how}"

    def _reason(self) -> str:
        line = self.last_line()
        return f": {line.removesuffix('.')}. All of it is in {self._log_name}." if line else "; it wrote no reason."

    @property
    def _log_name(self) -> str:
        near = self.log.is_relative_to(self._directory)
        return str(self.log.relative_to(self._directory) if near else self.log)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


class Supervisor:
    """All the children.

    Args:
        directory: Where they run.
        logs: Folder of their logs.
        say: Takes one line for the user.
        backoff: Pace of restarts.
    """

    def __init__(
        self, directory: Path, logs: Path, say: Callable[[str], None] = print, backoff: Backoff | None = None
    ) -> None:
        self._directory = directory
        self._logs = logs
        self._say = say
        self._backoff = backoff or Backoff()
        self._children: list[Child] = []

    @property
    def children(self) -> tuple[Child, ...]:
        """Those that were started, in that order."""
        return tuple(self._children)

    async def start(self, spec: ChildSpec) -> Child:
        """Start a process and wait until it is ready.

        Raises:
            UpstreamUnavailableError: It ended or was not ready in time.
        """
        log = self._logs / f"{spec.name}.log"
        child = Child(spec, directory=self._directory, log=log, say=self._say, backoff=self._backoff)
        self._children.append(child)
        try:
            took = await child.start()
        except UpstreamUnavailableError:
            self._children.remove(child)
            raise
        self._say(f"{spec.name} is ready ({took:.1f} s)")
        return child

    async def stop(self) -> None:
        """Stop all of them, the last one first."""
        while self._children:
            child = self._children[-1]
            took = await child.stop()
            self._children.remove(child)
            self._say(f"{child.spec.name} is stopped ({took:.1f} s)")

    def kill(self) -> None:
        """End all of them at once, without waiting."""
        for child in reversed(self._children):
            child.kill_now()
