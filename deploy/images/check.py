"""Starts the images as they are meant to run, against a real nats-server: ``python -m deploy.images check``.

Read-only root, no user of the system, no capabilities, no new privileges, 512 MB. Each has to become ready, to be
unable to write where it should not, and to end by itself when it is told to stop.
"""

from __future__ import annotations

import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.images.engine import Engine
from deploy.images.targets import image_name
from handler_base.errors import UpstreamError
from handler_base.testing.nats_server import NatsServer, free_port

__all__ = ["Checked", "check"]

_HARDENED: Final = (
    *("--read-only", "--user", "65532:65532", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--memory", "512m", "--tmpfs", "/tmp:rw,size=64m,mode=1777", "--network", "host"),  # noqa: S108 - in the container
)
_PATIENCE: Final = 30.0
_WRITES: Final = "import sys; open(sys.argv[1], 'w')"
_RESIDENT: Final = "VmRSS:"


@dataclass(frozen=True, slots=True)
class Checked:
    """How an image did.

    Attributes:
        target: The image.
        seconds: From the start of the container to ready.
        resident: Memory of the service when ready, in bytes.
        user: Numeric user it runs as.
        faults: What is not as it should be.
    """

    target: str
    seconds: float
    resident: int
    user: int
    faults: tuple[str, ...]


def check(engine: Engine, targets: Sequence[str], prefix: str, version: str) -> Iterator[Checked]:
    """Start each image and look at it.

    Raises:
        UpstreamError: The engine runs nothing, or a container did not start.
    """
    if not engine.runs:
        raise UpstreamError(f"{engine.name} builds images and runs none. Install podman or docker.")
    with NatsServer() as server:
        for target in targets:
            yield _check(engine, target, image_name(target, prefix, version), server.url)


def _check(engine: Engine, target: str, image: str, nats_url: str) -> Checked:
    port = free_port()
    settings = {
        "NATS_URL": nats_url,
        "HEALTH_HOST": "127.0.0.1",
        "HEALTH_PORT": str(port),
        "ARCHIVE_URL": "sqlite:////tmp/archive.db",
        "REDIS_URL": "",
    }
    variables = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    with _container(engine, [*_HARDENED, *variables, image]) as name:
        faults = []
        seconds = _wait_until_ready(port)
        if seconds is None:
            faults.append("not ready in time")
            print(engine.ask("logs", name) or "it logged nothing")
        status = _status(engine, name)
        user = int(status.get("Uid:", "0").split()[0])
        if user == 0:
            faults.append("runs as root")
        faults += _writable(engine, name)
        faults += _stop(engine, name)
    resident = int(status.get(_RESIDENT, "0").split()[0]) * 1024
    return Checked(target, seconds or 0.0, resident, user, tuple(faults))


@contextlib.contextmanager
def _container(engine: Engine, arguments: Sequence[str]) -> Iterator[str]:
    name = f"ai-services-check-{free_port()}"
    engine.run("run", "--detach", "--name", name, *arguments)
    try:
        yield name
    finally:
        engine.ask("rm", "--force", name)


def _wait_until_ready(port: int) -> float | None:
    """Return the seconds it took; None: too many."""
    started = time.monotonic()
    while time.monotonic() - started < _PATIENCE:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).close()
            return time.monotonic() - started
        time.sleep(0.01)
    return None


def _status(engine: Engine, name: str) -> dict[str, str]:
    """Return what the kernel says of the process, by the names it uses."""
    pid = engine.ask("inspect", "--format", "{{.State.Pid}}", name)
    try:
        lines = Path(f"/proc/{int(pid or 0)}/status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {key: rest for key, _, rest in (line.partition("\t") for line in lines)}


def _writable(engine: Engine, name: str) -> list[str]:
    """Return a fault for each place that should be out of reach and is not; and one where /tmp is."""
    places = {"/app/x": False, "/etc/x": False, "/home/nonroot/x": False, "/tmp/x": True}  # noqa: S108 - in the container
    faults = []
    for path, wanted in places.items():
        command = ["exec", name, "python3", "-c", f"{_WRITES}; print('written')", path]
        if (engine.ask(*command) == "written") != wanted:
            faults.append(f"{path} can{'not' if wanted else ''} be written")
    return faults


def _stop(engine: Engine, name: str) -> list[str]:
    engine.run("stop", "--time", "30", name)
    code = int(engine.ask("inspect", "--format", "{{.State.ExitCode}}", name) or -1)
    return [] if code == 0 else [f"ended with {code} when it was stopped"]
