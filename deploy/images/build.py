"""Builds the images on the small base: ``python -m deploy.images build``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.images.engine import Engine
from deploy.images.targets import ROOT, image_name
from deploy.local.bootstrap import uv_environment
from handler_base.errors import UpstreamError

__all__ = ["build"]

_HERE: Final = Path(__file__).parent
_LOCAL: Final = "localhost/ai-services-base"
_BASES: Final = {"BASE_IMAGE": "runtime", "BUILDER_IMAGE": "builder", "UV_IMAGE": "uv"}
_DEBIAN: Final = "docker.io/library/debian:trixie-slim"


def build(
    engine: Engine, targets: Sequence[str], prefix: str, version: str, *, published_base: bool, cache: bool = True
) -> None:
    """Build the targets, base first.

    Args:
        engine: Builds.
        targets: Of the Dockerfile.
        prefix: Of the images' names: a registry and a path in it.
        version: Tag of the images.
        published_base: Whether to build on published images from a registry in place of the small base.
        cache: Whether layers of earlier builds may be used.

    Raises:
        UpstreamError: A build failed.
    """
    arguments = [] if cache else ["--no-cache"]
    if not published_base:
        _build_base(engine, arguments)
        for name, target in _BASES.items():
            arguments += ["--build-arg", f"{name}={_LOCAL}/{target}:{version}"]
            engine.run("tag", f"{_LOCAL}/{target}:current", f"{_LOCAL}/{target}:{version}")
    arguments += ["--build-arg", f"VERSION={version}", "--build-arg", f"REVISION={_revision()}"]
    with tempfile.TemporaryDirectory() as folder:
        arguments += _secrets(Path(folder))
        for target in targets:
            print(f"building {target}", flush=True)
            engine.build(_HERE / "Dockerfile", target, image_name(target, prefix, version), ROOT, arguments)


def _build_base(engine: Engine, options: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        print("making the runtime base from Debian packages", flush=True)
        _make_archives(engine, context)
        shutil.copy(Path(sys.executable).with_name("uv"), context / "uv")
        for target in _BASES.values():
            engine.build(_HERE / "base.Dockerfile", target, f"{_LOCAL}/{target}:current", context, options)


def _make_archives(engine: Engine, context: Path) -> None:
    """Make the base's file systems here, or where this is no Debian, inside one."""
    script = _HERE / "runtime.sh"
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        if subprocess.run(["/bin/sh", str(script), str(context)], check=False).returncode != 0:
            raise UpstreamError("The runtime base could not be made.")
        return
    volumes = ["--volume", f"{script}:/runtime.sh:ro", "--volume", f"{context}:/output"]
    engine.run("run", "--rm", *volumes, _DEBIAN, "sh", "/runtime.sh", "/output")


def _secrets(folder: Path) -> list[str]:
    """Give the build the package index and the certificates that are used here, without a trace in the image."""
    environment = uv_environment()
    options: list[str] = []
    index = environment.get("UV_DEFAULT_INDEX")
    if index:
        settings = folder / "uv.toml"
        settings.write_text(f'index-url = "{index}"\n', "utf-8")
        options += ["--secret", f"id=uv,src={settings}"]
    certificates = environment.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        options += ["--secret", f"id=certificates,src={certificates}"]
    return options


def _revision() -> str:
    revision = os.environ.get("REVISION", "")
    if revision:
        return revision
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
