"""A real Milvus Lite server for tests, and Milvus's REST v2 in front of it as a stand-in.

Milvus Lite speaks gRPC only, so `MilvusRestFront` answers REST v2 for it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from handler_base.testing.milvus_rest_front import MilvusRestFront

__all__ = ["MilvusLite", "MilvusRestFront", "milvus_lite"]

_READY_S: Final = 20.0
_POLL_S: Final = 0.02


class MilvusLite:
    """A `milvus-lite server` on 127.0.0.1 that can be killed and started again on the same data.

    Args:
        data_dir: Where the collections are kept.
        port: Port of gRPC; 0 picks a free one, which stays the same over restarts.
    """

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or _free_port()

    @property
    def uri(self) -> str:
        """Address for pymilvus."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            RuntimeError: It ended, or was not ready in time; the message holds what it printed.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        log = self._data_dir / "server.log"
        program = Path(sys.executable).with_name("milvus-lite")
        command = [str(program), "server", "--data-dir", str(self._data_dir / "data"), "--host", "127.0.0.1"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program of this environment
                [*command, "--port", str(self.port)], stdout=output, stderr=subprocess.STDOUT
            )
        due = time.monotonic() + _READY_S
        while not _accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > due:
                self.kill()
                raise RuntimeError(f"milvus-lite did not start: {log.read_text(encoding='utf-8', errors='replace')}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def milvus_lite(data_dir: Path, port: int = 0) -> Iterator[MilvusLite]:
    """Run a Milvus Lite server while the block runs.

    Args:
        data_dir: Where the collections are kept.
        port: Port of gRPC; 0 picks a free one.
    """
    server = MilvusLite(data_dir, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
