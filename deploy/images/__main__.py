"""Builds, weighs, checks, compares and pushes the images: ``python -m deploy.images``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.images.build import build
from deploy.images.check import check
from deploy.images.engine import Engine, find_engine
from deploy.images.layout import Layout, Packed
from deploy.images.reproduce import reproduce
from deploy.images.sizes import measure, over_budget, table, write_sizes
from deploy.images.targets import APART, LOCAL, ROOT, SERVICES, image_name
from handler_base.errors import FleetError, InvalidRequestError, NotFoundError, UpstreamError

_PREFIX: Final = "localhost/ai-services"
_LAYOUT: Final = ROOT / ".local" / "images"


def main() -> int:
    """Do what the command line says.

    Returns:
        0, or 1 when it could not be done or an image is not as it should be; the reason is on stderr.
    """
    options = _parser().parse_args()
    try:
        return _run(options)
    except FleetError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    parser.add_argument("command", choices=["build", "record", "check", "reproducible", "push"])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: the five services")
    parser.add_argument("--engine", default=os.environ.get("ENGINE", ""), help="docker, podman or buildah")
    parser.add_argument("--prefix", default=os.environ.get("IMAGE_PREFIX") or _PREFIX, help="registry and path")
    parser.add_argument("--version", default=os.environ.get("VERSION") or _version(), help="tag of the images")
    parser.add_argument("--published-base", action="store_true", help="build on python:slim, which needs a registry")
    return parser


def _run(options: argparse.Namespace) -> int:
    known = (*SERVICES, *APART, *LOCAL)
    targets: list[str] = options.targets or list(SERVICES + APART if options.command == "record" else SERVICES)
    for target in targets:
        if target not in known:
            raise InvalidRequestError(f"There is no image {target}; there are {', '.join(known)}.")
    if options.command == "push":
        return _push(targets, options.prefix, options.version)
    engine = find_engine(options.engine)
    if options.command == "check":
        return _check(engine, targets, options.prefix, options.version)
    if options.command == "reproducible":
        return _reproduce(engine, targets, options)
    build(engine, targets, options.prefix, options.version, published_base=options.published_base)
    return _weigh(engine, targets, options)


def _weigh(engine: Engine, targets: Sequence[str], options: argparse.Namespace) -> int:
    """Compress what was built as it will be pushed, and hold it to the budgets."""
    layout = Layout(_LAYOUT)
    print(f"compressing the layers that are new by {layout.compression}", flush=True)
    if layout.compression != "zstd":
        print("note: zstd is not installed; gzip needs a third more, and more than the budgets")
    packed: dict[str, Packed] = {}
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            archive = Path(folder) / f"{target}.tar"
            engine.save(image_name(target, options.prefix, options.version), archive)
            packed[target] = layout.add(archive, target)
            archive.unlink()
    sizes = measure(packed)
    print(*table(sizes), sep="\n")
    if options.command == "record":
        write_sizes(sizes)
    broken = over_budget(sizes)
    print(*broken, sep="\n", end="\n" if broken else "")
    return 1 if broken and not options.published_base else 0


def _check(engine: Engine, targets: Sequence[str], prefix: str, version: str) -> int:
    bad = 0
    print(f"{'image':<18}{'ready after':>12}{'memory':>10}  user   ")
    for one in check(engine, targets, prefix, version):
        verdict = "; ".join(one.faults) or "ok"
        memory = f"{one.resident / 1e6:>7.0f} MB"
        print(f"{one.target:<18}{one.seconds:>10.2f} s{memory}  {one.user:<6} {verdict}", flush=True)
        bad += bool(one.faults)
    return 1 if bad else 0


def _reproduce(engine: Engine, targets: Sequence[str], options: argparse.Namespace) -> int:
    layers = list(reproduce(engine, targets, options.prefix, options.version, published_base=options.published_base))
    print(f"{'image':<18}layer  {'first build':<14}{'second build':<14}")
    for one in layers:
        first, second = (digest.removeprefix("sha256:")[:12] or "none" for digest in (one.first, one.second))
        print(f"{one.target:<18}{one.number:>5}  {first:<14}{second:<14}{'equal' if one.equal else 'differs'}")
    bad = sum(not one.equal for one in layers)
    print(f"{bad} of {len(layers)} layers differ")
    return 1 if bad else 0


def _push(targets: Sequence[str], prefix: str, version: str) -> int:
    """Push from the layout, layers as they are.

    Credentials are those of `skopeo login`, podman or docker, or the content of such a file in `REGISTRY_AUTH`.
    """
    if prefix == _PREFIX:
        raise InvalidRequestError("Say where to: make images-push IMAGE_PREFIX=registry.example.com/ai-services")
    if not (_LAYOUT / "index.json").exists():
        raise NotFoundError("Nothing is built yet. Run: make images")
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        given = environment.pop("REGISTRY_AUTH", "")
        if given:
            secret = Path(folder) / "auth.json"
            secret.touch(mode=0o600)
            secret.write_text(given, "utf-8")
            environment["REGISTRY_AUTH_FILE"] = str(secret)
        for target in targets:
            image = image_name(target, prefix, version)
            _copy(f"oci:{_LAYOUT}:{target}", f"docker://{image}", environment)
            print(f"pushed {image}", flush=True)
    return 0


def _copy(source: str, target: str, environment: dict[str, str]) -> None:
    command = ["skopeo", "copy", "--quiet", "--preserve-digests", source, target]
    try:
        done = subprocess.run(command, env=environment, check=False)
    except FileNotFoundError:
        raise NotFoundError("skopeo is not installed; on Debian: apt-get install skopeo") from None
    if done.returncode != 0:
        raise UpstreamError(f"{target} was not pushed; what skopeo said is above.")


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return str(project["project"]["version"])


if __name__ == "__main__":
    sys.exit(main())
