"""What runs the compose file: docker's own compose, or podman-compose in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.compose.environment import FILE
from deploy.images.engine import Engine, find_engine
from deploy.images.targets import ROOT
from deploy.local.bootstrap import uv_environment
from handler_base.errors import NotFoundError, UpstreamError, UpstreamUnavailableError

__all__ = ["PROJECT", "ComposeTool", "find_tool", "install"]

PROJECT: Final = "ai-services"
_HERE: Final = Path(__file__).parent
_VENV: Final = ROOT / ".venv-compose"
_LOCK: Final = ROOT / "requirements-compose.lock"
_STAMP: Final = _VENV / ".lock-digest"


@dataclass(frozen=True, slots=True)
class ComposeTool:
    """Brings the stack up and down.

    Attributes:
        engine: Runs the containers.
        command: Begins every command line.
    """

    engine: Engine
    command: tuple[str, ...]

    def run(self, *arguments: str, offline: bool, profiles: Sequence[str]) -> None:
        """Run a command of compose, its output on the terminal.

        Raises:
            UpstreamError: It failed.
        """
        files = ["compose.yaml", *(["compose.offline.yaml"] if offline else [])]
        line = [*self.command, *(part for name in files for part in ("--file", str(_HERE / name)))]
        line += ["--env-file", str(FILE), *(part for profile in profiles for part in ("--profile", profile))]
        environment = {**os.environ, **self.engine.environment}
        if subprocess.run([*line, *arguments], env=environment, check=False, cwd=ROOT).returncode != 0:
            raise UpstreamError(f"`{self.command[-1]} {arguments[0]}` failed; what it said is above.")

    def up(self, *, offline: bool, profiles: Sequence[str], patience: float) -> None:
        """Start everything and wait until it is healthy.

        Raises:
            UpstreamUnavailableError: Something is not healthy in time.
        """
        if self.engine.name == "docker":
            options = ["--wait", "--wait-timeout", str(int(patience))]
            self.run("up", "--detach", *options, offline=offline, profiles=profiles)
            return
        self.run("up", "--detach", offline=offline, profiles=profiles)
        self._wait(patience)

    def _wait(self, patience: float) -> None:
        """Run the health checks: podman does so by itself only under systemd."""
        deadline = time.monotonic() + patience
        waiting = self._checked()
        while waiting:
            waiting = [name for name in waiting if not self._healthy(name)]
            if waiting and time.monotonic() > deadline:
                raise UpstreamUnavailableError(f"Not healthy after {patience:.0f} s: {', '.join(waiting)}.")
            time.sleep(0.5)

    def _checked(self) -> list[str]:
        """Return the containers of the stack that have a health check."""
        label = f"label=io.podman.compose.project={PROJECT}"
        names = self.engine.ask("ps", "--filter", label, "--format", "{{.Names}}").split()
        config = "{{if .Config.Healthcheck}}{{.Config.Healthcheck.Test}}{{end}}"
        tests = {name: self.engine.ask("inspect", "--format", config, name) for name in names}
        return sorted(name for name, test in tests.items() if test and "NONE" not in test)

    def _healthy(self, name: str) -> bool:
        command = [self.engine.name, "healthcheck", "run", name]
        environment = {**os.environ, **self.engine.environment}
        return subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0


def find_tool(wanted: str = "") -> ComposeTool:
    """Return the tool to use.

    Args:
        wanted: `docker` or `podman`; empty: the first that works.

    Raises:
        NotFoundError: There is none.
    """
    engine = find_engine(wanted)
    if engine.name == "docker" and engine.ask("compose", "version"):
        return ComposeTool(engine, ("docker", "compose"))
    if engine.name == "docker":
        raise NotFoundError(
            "docker is here without its compose plugin. On Debian: apt-get install docker-compose-plugin"
        )
    if engine.name != "podman":
        raise NotFoundError(f"{engine.name} runs no containers. Install podman or docker.")
    install()
    return ComposeTool(engine, (str(_VENV / "bin" / "podman-compose"),))


def install() -> None:
    """Make `.venv-compose` as its lock file says; nothing is done when it is.

    Raises:
        UpstreamError: The packages cannot be installed.
    """
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text("utf-8") == digest:
        return
    print("Installing podman-compose into .venv-compose ...", flush=True)
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(_VENV / "bin" / "python")
    for command in (
        ["venv", "--quiet", "--allow-existing", "--python", sys.executable, str(_VENV)],
        ["pip", "sync", "--quiet", "--require-hashes", "--python", python, str(_LOCK)],
    ):
        if subprocess.run([uv, *command], cwd=ROOT, env=uv_environment(), check=False).returncode != 0:
            raise UpstreamError("podman-compose could not be installed; what uv said is above.")
    _STAMP.write_text(digest, "utf-8")
