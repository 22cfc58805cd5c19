"""What is written from the declarations is as they say; the checks find what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.manifests.checks.crd_schemas import load_schemas, problems
from deploy.manifests.generate import stale, write


def test_the_written_files_are_current() -> None:
    assert stale() == [], "run `make manifests`"


def test_what_was_changed_by_hand_is_written_again_and_what_is_left_over_goes(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert "deploy/nats/accounts.conf" in written
    changed = tmp_path / "deploy/kubernetes/apps/ai-ml/chat-handler/ks.yaml"
    was = changed.read_text(encoding="utf-8")
    changed.write_text(f"{was}# by hand\n", encoding="utf-8")
    left = changed.with_name("left.yaml")
    left.write_text(was, encoding="utf-8")
    own = changed.with_name("own.yaml")
    own.write_text("# An operator's own.\n", encoding="utf-8")
    assert write(tmp_path) == [str(path.relative_to(tmp_path)) for path in (changed, left)]
    assert changed.read_text(encoding="utf-8") == was
    assert (left.exists(), own.exists()) == (False, True)
    assert write(tmp_path) == []


def definition(properties: dict[str, Any]) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties, "required": ["size"]}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    return {
        "kind": "CustomResourceDefinition",
        "spec": {"group": "example.org", "names": {"kind": "Thing"}, "versions": [version]},
    }


def thing(**spec: object) -> dict[str, Any]:
    return {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": spec}


def test_custom_resources_that_do_not_fit_are_found(tmp_path: Path) -> None:
    size = {"size": {"x-kubernetes-int-or-string": True}, "free": {"x-kubernetes-preserve-unknown-fields": True}}
    text = yaml.safe_dump(definition({**size, "mode": {"type": "string", "enum": ["a"]}}))
    (tmp_path / "things.yaml").write_text(text, encoding="utf-8")
    schemas = load_schemas(tmp_path)
    good = [thing(size=1), thing(size="1Gi", mode="a", free={"anything": 1})]
    assert problems(schemas, good) == ([], {"Thing": 2})
    for bad in (thing(), thing(size=1, mode="b"), thing(size=1, more=1)):
        wrong, _ = problems(schemas, [bad])
        assert len(wrong) == 1
    assert problems(schemas, [{**thing(size=1), "kind": "Other"}]) == ([], {})
