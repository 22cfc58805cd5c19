"""Renders every kustomization as Flux does, with `kubectl kustomize`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.manifests.documents import NAMESPACE, kustomization

__all__ = ["Rendered", "RenderingError", "find_kubectl", "render_all"]

KUBERNETES: Final = Path(__file__).resolve().parents[2] / "kubernetes"

_BASES: Final = {"cilium": "apps/ai-ml/{name}/app", "api-keys": "apps/ai-ml/chat-handler/app"}
"""What a component is put on to be rendered; those that patch nothing need nothing."""


class RenderingError(Exception):
    """A kustomization cannot be rendered; says which and why."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A kustomization as it comes out.

    Attributes:
        name: Its folder below `deploy/kubernetes`.
        documents: Its objects.
    """

    name: str
    documents: tuple[dict[str, Any], ...]


def find_kubectl() -> str:
    """Return the path of kubectl; empty when it is not on this machine."""
    return shutil.which("kubectl") or ""


def render_all(kubectl: str) -> list[Rendered]:
    """Render every kustomization, and every component on an app that it belongs to.

    Args:
        kubectl: Path of the program.

    Raises:
        RenderingError: One cannot be rendered.
    """
    with tempfile.TemporaryDirectory(prefix="rendering-", dir=KUBERNETES.parent) as folder:
        places = [*_kustomizations(), *_components(Path(folder))]
        with ThreadPoolExecutor(max_workers=4) as pool:
            return list(pool.map(lambda place: _render(kubectl, *place), places))


def _of_kind(kind: str) -> Iterator[Path]:
    for path in sorted(KUBERNETES.rglob("kustomization.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8"))["kind"] == kind:
            yield path.parent


def _kustomizations() -> Iterator[tuple[str, Path]]:
    for folder in _of_kind("Kustomization"):
        yield str(folder.relative_to(KUBERNETES)), folder
    # The pipelines' templates are applied by hand, beside the tree that Flux reads.
    yield "argo", KUBERNETES.parent / "argo"


def _components(folder: Path) -> Iterator[tuple[str, Path]]:
    for number, place in enumerate(_of_kind("Component")):
        name = str(place.relative_to(KUBERNETES))
        overlay = folder / str(number)
        overlay.mkdir()
        base = _BASES.get(place.parent.name) or _BASES.get(place.name)
        resources = [] if base is None else [os.path.relpath(KUBERNETES / base.format(name=place.name), overlay)]
        written = kustomization(resources, namespace=NAMESPACE, components=[os.path.relpath(place, overlay)])
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
        yield name, overlay


def _render(kubectl: str, name: str, folder: Path) -> Rendered:
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RenderingError(f"{name}: {done.stderr.strip()}")
    return Rendered(name, tuple(one for one in yaml.safe_load_all(done.stdout) if one))
