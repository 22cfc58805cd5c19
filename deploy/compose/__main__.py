"""Brings the compose stack up and down: ``python -m deploy.compose``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.compose.environment import FILE, make_environment, read_environment
from deploy.compose.tool import ComposeTool, find_tool, install
from deploy.images.build import build
from deploy.images.targets import ROOT, SERVICES
from handler_base.errors import FleetError, InvalidRequestError, UpstreamError

_PROFILES: Final = ("local", "models", "gpu")
_PREFIX: Final = "localhost/ai-services"
_SCHEMA: Final = "vendor.compose-spec"
_OPERATOR: Final = ROOT / ".local" / "compose" / "operator"
_PATIENCE: Final = 900.0


def main() -> int:
    """Do what the command line says.

    Returns:
        0, or 1 when it could not be done; the reason is on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "config"])
    parser.add_argument("--offline", action="store_true", help="with parts built here in place of published images")
    parser.add_argument("--volumes", action="store_true", help="down: remove the data as well")
    parser.add_argument("--engine", default=os.environ.get("ENGINE", ""), help="docker or podman")
    options = parser.parse_args()
    try:
        _run(options)
    except FleetError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    if make_environment():
        print(f"wrote {FILE.relative_to(ROOT)}, with passwords of its own", flush=True)
    settings = read_environment()
    profiles = [name for name in settings.get("COMPOSE_PROFILES", "").split(",") if name]
    for profile in profiles:
        if profile not in _PROFILES:
            raise InvalidRequestError(f"COMPOSE_PROFILES={profile} is unknown; there are {', '.join(_PROFILES)}.")
    if options.command == "config":
        _check()
        return
    tool = find_tool(options.engine)
    if options.command == "down":
        removed = ["--volumes"] if options.volumes else []
        tool.run("down", *removed, offline=options.offline, profiles=_PROFILES)
        return
    _build(tool, _own_images(profiles, settings, offline=options.offline), settings)
    tool.up(offline=options.offline, profiles=profiles, patience=_PATIENCE)
    _introduce(settings)


def _own_images(profiles: Sequence[str], settings: dict[str, str], *, offline: bool) -> list[str]:
    """Return which images of the fleet the stack runs."""
    names = [settings.get("STT_IMAGE", name) if name == "stt-module" else name for name in SERVICES]
    if "local" in profiles:
        names += ["local-inference", "ingestion"]
    if offline:
        names += ["local-nats", "local-valkey", "local-milvus", "local-chat-handler"]
    return names


def _build(tool: ComposeTool, names: Sequence[str], settings: dict[str, str]) -> None:
    """Build the images, quickly where nothing has changed; from a registry of the user's own they are pulled."""
    prefix, version = settings.get("IMAGE_PREFIX", _PREFIX), settings.get("VERSION", "0.1.0")
    if prefix == _PREFIX:
        build(tool.engine, names, prefix, version, published_base=False)


def _introduce(settings: dict[str, str]) -> None:
    """Say how to talk to the fleet; the password goes to a file, not to the screen."""
    _OPERATOR.parent.mkdir(parents=True, exist_ok=True)
    _OPERATOR.touch(mode=0o600)
    _OPERATOR.write_text(settings["NATS_PASSWORD_OPERATOR"], "utf-8")
    user = f"NATS_USER=operator NATS_PASSWORD_FILE={_OPERATOR.relative_to(ROOT)} NATS_INBOX_PREFIX=_INBOX_operator"
    url = f"NATS_URL=nats://127.0.0.1:{settings.get('NATS_PORT', '4222')}"
    print("\nEverything is healthy. Try:\n")
    for command in ('chat "How many cars can the ferry Linnet II carry?"', "status"):
        print(f"  {url} {user} .venv/bin/fleet {command}")
    print("\n`make down` stops it.")


def _check() -> None:
    """Hold the files to the specification of compose, and have podman-compose read them."""
    install()
    folder = ROOT / ".venv-compose" / "bin"
    here = Path(__file__).parent
    files = [str(here / "compose.yaml"), str(here / "compose.offline.yaml")]
    schema = [str(folder / "check-jsonschema"), "--builtin-schema", _SCHEMA, files[0]]
    read = [str(folder / "podman-compose"), "--env-file", str(FILE), "--file", files[0], "--file", files[1], "config"]
    if subprocess.run(schema, check=False).returncode != 0:
        raise UpstreamError("compose.yaml is not what the specification says.")
    if subprocess.run([*read, "--quiet"], check=False, cwd=ROOT).returncode != 0:
        raise UpstreamError("podman-compose cannot read the files.")
    print("podman-compose reads compose.yaml and compose.offline.yaml")


if __name__ == "__main__":
    sys.exit(main())
