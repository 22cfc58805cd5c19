"""The container engine there is: docker, podman or buildah, in this order."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from handler_base.errors import NotFoundError, UpstreamError

__all__ = ["Engine", "find_engine"]

_CONFIG: Final = Path(__file__).with_name("containers.conf")
_CAP_SYS_RESOURCE: Final = 1 << 24
_CAPABILITIES: Final = Path("/proc/self/status")
_HINT: Final = "apt-get install --no-install-recommends podman buildah runc netavark aardvark-dns iptables"
_SAVE: Final = ("save", "--format", "docker-archive")


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that builds images, and perhaps runs them.

    Attributes:
        name: `docker`, `podman` or `buildah`.
        environment: In which it runs.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether it can run what it builds."""
        return self.name != "buildah"

    def build(self, dockerfile: Path, target: str, tag: str, context: Path, options: Sequence[str] = ()) -> None:
        """Build one target.

        Two builds of the same sources give the same layers: every file has the same time.

        Raises:
            UpstreamError: It did not work; what the engine said is above.
        """
        command = ["build", "--file", str(dockerfile), "--target", target, "--tag", tag, *options]
        if self.name == "docker":
            fixed = ["--build-arg", "SOURCE_DATE_EPOCH=0", "--output", "type=docker,rewrite-timestamp=true"]
            command = ["buildx", *command, *fixed]
        else:
            # The network of the machine: what reaches the package index here reaches it there.
            command += ["--layers", "--timestamp", "0", "--network", "host", "--pull=missing", "--quiet"]
        if self.name == "buildah":
            command += ["--runtime", shutil.which("runc") or "crun"]
        self.run(*command, str(context))

    def save(self, image: str, archive: Path) -> None:
        """Write an image to a file in the format of `docker save`."""
        match self.name:
            case "docker":
                self.run("save", "--output", str(archive), image)
            case "podman":
                self.run(*_SAVE, "--quiet", "--output", str(archive), image)
            case _:
                self.run("push", "--quiet", image, f"docker-archive:{archive}:{image}")

    def layers(self, image: str) -> list[str]:
        """Return the digests of an image's layers before compression, from the base up.

        Raises:
            UpstreamError: There is no such image.
        """
        command, digests = ["image", "inspect"], ".RootFS.Layers"
        if self.name == "buildah":
            command, digests = ["inspect", "--type", "image"], ".OCIv1.RootFS.DiffIDs"
        said = self.ask(*command, "--format", "{{range " + digests + "}}{{println .}}{{end}}", image)
        if not said:
            raise UpstreamError(f"{self.name} does not know {image}.")
        return said.split()

    def run(self, *arguments: str) -> None:
        """Run the engine, its output on the terminal where it fails.

        Raises:
            UpstreamError: It failed.
        """
        done = subprocess.run(
            [self.name, *arguments],
            env={**os.environ, **self.environment},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            print(done.stdout)
            raise UpstreamError(f"`{self.name} {arguments[0]}` failed; what it said is above.")

    def ask(self, *arguments: str) -> str:
        """Run the engine and return what it says; nothing where it fails."""
        done = subprocess.run(
            [self.name, *arguments],
            env={**os.environ, **self.environment},
            check=False,
            stdout=subprocess.PIPE,
            # What a container logged comes on stderr; of what fails, nothing is wanted.
            stderr=subprocess.STDOUT if arguments[0] == "logs" else subprocess.DEVNULL,
            text=True,
        )
        return done.stdout.strip() if done.returncode == 0 else ""


def find_engine(wanted: str = "") -> Engine:
    """Return the engine to use.

    Args:
        wanted: Its name; empty: the first that works.

    Raises:
        NotFoundError: There is none; the message says what is missing.
    """
    reasons = []
    for name in [wanted] if wanted else ["docker", "podman", "buildah"]:
        engine = Engine(name, {} if name == "docker" else _environment())
        if shutil.which(name) is None:
            reasons.append(f"{name} is not installed")
        elif name == "docker" and not engine.ask("version", "--format", "{{.Server.Version}}"):
            reasons.append("docker is installed, but its daemon does not answer")
        elif name == "docker" and not engine.ask("buildx", "version"):
            reasons.append("docker is installed without buildx")
        else:
            return engine
    raise NotFoundError(f"No container engine: {', '.join(reasons)}. On Debian: {_HINT}")


def _environment() -> dict[str, str]:
    """Return what podman and buildah need where root may not raise limits, as inside another container."""
    if "CONTAINERS_CONF" in os.environ or platform.system() != "Linux" or os.geteuid() != 0:
        return {}
    line = next(line for line in _CAPABILITIES.read_text("utf-8").splitlines() if line.startswith("CapEff:"))
    return {} if int(line.split()[1], 16) & _CAP_SYS_RESOURCE else {"CONTAINERS_CONF": str(_CONFIG)}
