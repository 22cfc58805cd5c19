"""The files below `deploy/kubernetes`, read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["APPS", "KUBERNETES", "Document", "app_document", "documents", "documents_of"]

Document = dict[str, Any]

KUBERNETES: Final = Path(__file__).resolve().parents[2] / "kubernetes"
APPS: Final = KUBERNETES / "apps" / "ai-ml"


@cache
def documents() -> tuple[tuple[Path, Document], ...]:
    """Return every object with the file it is in; kustomizations and components as well."""
    return tuple(_read())


def documents_of(kind: str) -> list[Document]:
    """Return the objects of a kind."""
    return [document for _, document in documents() if document["kind"] == kind]


def app_document(app: str, kind: str) -> Document:
    """Return the one object of a kind that an app has."""
    folder = APPS / app / "app"
    (found,) = (document for path, document in documents() if path.parent == folder and document["kind"] == kind)
    return found


def _read() -> Iterator[tuple[Path, Document]]:
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if "kind" in document:
                yield path, document
