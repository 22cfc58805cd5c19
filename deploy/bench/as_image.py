"""Runs a service as its image would: what is installed here only for tests, tools and peers cannot be imported.

``python -m deploy.bench.as_image MODULE``, with the hidden top-level packages in `HIDDEN_VARIABLE`, by commas.
Libraries load optional parts when they find them, so that a process measured in a full checkout weighs more than
the one that is shipped.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import runpy
import sys
from functools import cache
from importlib.machinery import ModuleSpec
from typing import Final

__all__ = ["HIDDEN_VARIABLE", "hidden_packages", "required_distributions"]

HIDDEN_VARIABLE: Final = "BENCH_HIDDEN_PACKAGES"

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?[^;]*(?:;(.*))?$")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")

_SHIPPED: Final = {"stt-module": ("light",), "stt-module-full": ("formats", "light", "silero")}
"""Extras that an image has."""

_FULL: Final = "-full"
"""Ends the name of an image that is another one's with more extras."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required_distributions(name: str, *extras: str) -> set[str]:
    """Return a distribution and all that it needs, with the extras that are asked for and no others."""
    found: set[tuple[str, str]] = set()
    waiting = [(_normal(name), extra) for extra in ("", *extras)]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        try:
            requirements = importlib.metadata.requires(one[0]) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(one)
        for requirement in requirements:
            parts = _REQUIREMENT.match(requirement)
            if parts is None:
                continue
            extra = _EXTRA.search(parts[3] or "")
            if extra is None or extra[1] == one[1]:
                needed = _normal(parts[1])
                waiting.append((needed, ""))
                waiting.extend((needed, wanted.strip()) for wanted in (parts[2] or "").split(",") if wanted.strip())
    return {distribution for distribution, _ in found}


@cache
def hidden_packages(image: str) -> tuple[str, ...]:
    """Return the installed top-level packages that an image does not have; it is named like its distribution."""
    needed = required_distributions(_normal(image).removesuffix(_FULL), *_SHIPPED.get(_normal(image), ()))
    return tuple(
        package
        for package, distributions in importlib.metadata.packages_distributions().items()
        if needed.isdisjoint(_normal(distribution) for distribution in distributions)
    )


class _Hidden:
    """Finds nothing for the hidden packages, the way an interpreter does where they are not installed."""

    def __init__(self, names: str) -> None:
        self._names = frozenset(names.split(","))

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse a hidden package, and leave the others to those who come after."""
        del path, target
        if fullname.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, _Hidden(os.environ.get(HIDDEN_VARIABLE, "")))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
