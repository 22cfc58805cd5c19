"""Run by the Python of `.venv-policy`: built-in objects against the schemas of Kubernetes, strictly.

``python core_schemas.py FOLDER`` reads every YAML file of a folder and prints a line of JSON.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

NEWEST = 3


def versions() -> list[str]:
    """Return the newest versions of Kubernetes whose schemas are there."""
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    found = {match[1] for path in folder.iterdir() if (match := re.fullmatch(r"v([\d.]+)-local-strict", path.name))}
    return sorted(found, key=lambda text: tuple(map(int, text.split("."))))[-NEWEST:]


def check(documents: list[dict[str, Any]], version: str) -> tuple[int, list[str]]:
    """Return how many objects are as they should be, and what is wrong with the others."""
    passed, wrong = 0, []
    for document in documents:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            continue
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{version}: {document['kind']} {document['metadata']['name']}: {error.message}")
        else:
            passed += 1
    return passed, wrong


def main(folder: Path) -> None:
    """Print the outcome."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")))
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    outcome = {version: check(documents, version) for version in versions()}
    wrong = [problem for _, problems in outcome.values() for problem in problems]
    print(json.dumps({"passed": {version: passed for version, (passed, _) in outcome.items()}, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
