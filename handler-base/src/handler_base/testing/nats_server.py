"""A real nats-server for tests, that can be killed, frozen and started again on the same port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["NatsServer", "find_nats_server", "free_port"]


def find_nats_server() -> Path:
    """Return the nats-server of the virtual environment, or the one on the path.

    Raises:
        FileNotFoundError: There is none.
    """
    bundled = Path(sys.executable).with_name("nats-server")
    found = str(bundled) if bundled.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is neither in the virtual environment nor on the path")
    return Path(found)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """One nats-server process with JetStream, storing in a directory of its own.

    Args:
        config: More of the server's configuration, in its own syntax.
        port: To listen on; 0 picks a free one. A restart keeps it.
        jetstream: Whether JetStream is on.
        store: Where streams are kept; None makes a temporary directory that goes with the server.
        environment: Variables that the configuration reads.

    Attributes:
        port: What it listens on.
    """

    def __init__(
        self,
        config: str = "",
        *,
        port: int = 0,
        jetstream: bool = True,
        store: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self._environment = {**os.environ, **(environment or {})}
        self._config = config
        self._jetstream = jetstream
        self._directory = tempfile.TemporaryDirectory(prefix="nats-server-", ignore_cleanup_errors=True)
        self._store = store or Path(self._directory.name) / "store"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server logged."""
        path = self._log_path
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, *, timeout: float = 10.0) -> None:
        """Start it and wait until it takes connections.

        Args:
            timeout: Seconds.

        Raises:
            RuntimeError: It ended, or was not ready in time.
        """
        self._launch()
        deadline = time.monotonic() + timeout
        while not self._answers():
            self._check_starting(deadline)
            time.sleep(0.005)

    async def start_async(self, *, timeout: float = 10.0) -> None:
        """Start it without holding up the event loop; see `start`."""
        self._launch()
        deadline = time.monotonic() + timeout
        while not await asyncio.to_thread(self._answers):
            self._check_starting(deadline)
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        """Stop it in an orderly way, and wait for its end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once, as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Have it tell its clients to leave, and shut down."""
        self.signal(signal.SIGUSR2)

    def reload(self, config: str) -> None:
        """Give a running server another configuration."""
        self._config = config
        self._write_config()
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Kill it where it runs, and delete its directory."""
        self.kill()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _config_path(self) -> Path:
        return Path(self._directory.name) / "server.conf"

    @property
    def _log_path(self) -> Path:
        return Path(self._directory.name) / "server.log"

    def _write_config(self) -> None:
        jetstream = f'jetstream {{ store_dir: "{self._store}" }}\n' if self._jetstream else ""
        self._config_path.write_text(
            f'host: "127.0.0.1"\nport: {self.port}\nlogfile: "{self._log_path}"\n{jetstream}{self._config}\n',
            encoding="utf-8",
        )

    def _launch(self) -> None:
        self._write_config()
        self._process = subprocess.Popen(  # noqa: S603 - the path was looked up, the arguments are ours
            [str(find_nats_server()), "-c", str(self._config_path)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                return probe.recv(5) == b"INFO "
        except OSError:
            return False

    def _check_starting(self, deadline: float) -> None:
        if not self.running:
            raise RuntimeError(f"nats-server ended while it started:\n{self.log}")
        if time.monotonic() > deadline:
            self.kill()
            raise RuntimeError(f"nats-server was not ready in time:\n{self.log}")

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        # A frozen process would never handle the signal that ends it.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
