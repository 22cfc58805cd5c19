"""Custom resources against the schemas of their definitions; unknown fields are errors, as in a strict cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

__all__ = ["load_schemas", "problems"]

Schemas = Mapping[tuple[str, str], dict[str, Any]]
"""A schema by API version and kind."""


def load_schemas(directory: Path) -> Schemas:
    """Return the schemas of all definitions below a folder.

    Of two for one kind the one with more in it counts: short forms let everything pass.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted([*directory.rglob("*.yaml"), *directory.rglob("*.yml")]):
        for definition in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                schema = _open_metadata(_strict(version["schema"]["openAPIV3Schema"]))
                if key not in found or len(str(schema)) > len(str(found[key])):
                    found[key] = schema
    return found


def problems(schemas: Schemas, documents: Iterable[dict[str, Any]]) -> tuple[list[str], Counter[str]]:
    """Return what is wrong with custom resources, and how many of each kind were looked at.

    Args:
        schemas: Of the definitions.
        documents: Objects; those no schema is known for are passed over.
    """
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for document in documents:
        kind = document["kind"]
        schema = schemas.get((document["apiVersion"], kind))
        if schema is None:
            continue
        seen[kind] += 1
        validator = jsonschema.Draft202012Validator(schema)
        name = document["metadata"]["name"]
        wrong += [f"{kind} {name}: {error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    return wrong, seen


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that forbids what it does not name."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _strict(one) for name, one in value.items()}
        elif key in {"items", "additionalProperties", "not"} and isinstance(value, dict):
            found[key] = _strict(value)
        else:
            # The parts of allOf, anyOf and oneOf stay open: each names only some of the fields.
            found[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    closed = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    if closed and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    if found.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def _open_metadata(schema: dict[str, Any]) -> dict[str, Any]:
    """Let the top level have what every object has, also where its definition does not say so."""
    common = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**schema, "properties": {**schema.get("properties", {}), **common}}
