"""Builds images twice from nothing and compares their layers: ``python -m deploy.images reproducible``."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.images.build import build
from deploy.images.engine import Engine
from deploy.images.targets import image_name

__all__ = ["Compared", "reproduce"]


@dataclass(frozen=True, slots=True)
class Compared:
    """A layer of an image in two builds.

    Attributes:
        target: The image.
        number: Of the layer, from the base up; the first is 1.
        first: Its digest before compression in the first build; empty where that has no such layer.
        second: The same of the second build.
    """

    target: str
    number: int
    first: str
    second: str

    @property
    def equal(self) -> bool:
        """Whether both builds gave the same bytes."""
        return self.first == self.second


def reproduce(
    engine: Engine, targets: Sequence[str], prefix: str, version: str, *, published_base: bool
) -> Iterator[Compared]:
    """Build the targets twice, base included, and compare them layer by layer.

    Nothing of the first build or of an earlier one is used: neither layers nor, by podman and buildah, packages that
    were downloaded or built. Docker keeps the packages.

    Raises:
        UpstreamError: A build failed.
    """
    builds: list[dict[str, list[str]]] = []
    for number in (1, 2):
        print(f"build {number} of 2", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            # Where podman and buildah keep what a step of the build has cached.
            apart = dataclasses.replace(engine, environment={**engine.environment, "TMPDIR": folder})
            build(apart, targets, prefix, version, published_base=published_base, cache=False)
        builds.append({target: engine.layers(image_name(target, prefix, version)) for target in targets})
    for target in targets:
        pairs = itertools.zip_longest(*(one[target] for one in builds), fillvalue="")
        for number, (first, second) in enumerate(pairs, start=1):
            yield Compared(target, number, first, second)
