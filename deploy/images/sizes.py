"""What the images weigh: measured when they are built, and kept in ``sizes.json`` for the tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from deploy.images.layout import Packed
from deploy.images.targets import MOST_BYTES_OF_ONE, MOST_BYTES_TOGETHER, SERVICES

__all__ = ["RECORD", "Sizes", "locked_names", "measure", "over_budget", "read_sizes", "table", "write_sizes"]

RECORD: Final = Path(__file__).with_name("sizes.json")
_REQUIREMENTS: Final = Path(__file__).with_name("requirements")


class Sizes(msgspec.Struct, frozen=True):
    """Of one build, in bytes.

    Attributes:
        images: Compressed size of each image.
        on_disk: Size of each image unpacked.
        together: Of the five services in a registry, which holds a layer once.
        packages: Names of the packages that were in each file of `requirements/`: others weigh something else.
    """

    images: dict[str, int]
    on_disk: dict[str, int]
    together: int
    packages: dict[str, list[str]]


def measure(images: Mapping[str, Packed]) -> Sizes:
    """Sum up images that were built."""
    services = [image for name, image in images.items() if name in SERVICES]
    layers = {layer.digest: layer.size for image in services for layer in image.layers}
    return Sizes(
        images={name: image.size for name, image in images.items()},
        on_disk={name: sum(layer.raw for layer in image.layers) for name, image in images.items()},
        together=sum(layers.values()) + sum(image.manifest for image in services),
        packages=locked_names(),
    )


def locked_names() -> dict[str, list[str]]:
    """Return the names of the packages in each file of `requirements/`."""
    found = {}
    for path in sorted(_REQUIREMENTS.glob("*.lock")):
        text = path.read_text("utf-8")
        found[path.stem] = sorted(set(re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)))
    return found


def over_budget(sizes: Sizes) -> list[str]:
    """Return a sentence for each budget that is not kept."""
    broken = [
        f"{name} has {sizes.images[name] / 1e6:.1f} MB, and may have {MOST_BYTES_OF_ONE / 1e6:.0f}."
        for name in SERVICES
        if sizes.images.get(name, 0) > MOST_BYTES_OF_ONE
    ]
    if sizes.together > MOST_BYTES_TOGETHER:
        broken.append(
            f"The five have {sizes.together / 1e6:.1f} MB together, and may have {MOST_BYTES_TOGETHER / 1e6:.0f}."
        )
    return broken


def read_sizes(path: Path = RECORD) -> Sizes:
    """Read what was measured."""
    return msgspec.json.decode(path.read_bytes(), type=Sizes)


def write_sizes(sizes: Sizes, path: Path = RECORD) -> None:
    """Keep what was measured."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(sizes), indent=2) + b"\n")


def table(sizes: Sizes) -> list[str]:
    """Return the sizes as people read them, one line each."""
    lines = [f"{'image':<18}{'compressed':>12}{'on disk':>12}"]
    lines += [
        f"{name:<18}{size / 1e6:>9.1f} MB{sizes.on_disk[name] / 1e6:>9.1f} MB" for name, size in sizes.images.items()
    ]
    if all(name in sizes.images for name in SERVICES):
        lines.append(f"{'the five together':<18}{sizes.together / 1e6:>9.1f} MB")
    return lines
