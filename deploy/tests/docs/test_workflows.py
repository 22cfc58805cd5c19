"""What continuous integration does can be done on any machine: workflows call make targets, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FORGES = (".github", ".gitea")
WORKFLOWS = sorted(path for forge in FORGES for path in (ROOT / forge / "workflows").glob("*.y*ml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PINNED = re.compile(r"[\w./-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})")
MAKE = re.compile(r"make ([a-z-]+)((?: [A-Z]+=(?:\"[^\"]*\"|\S+))*)")


def _steps(path: Path) -> list[dict[str, Any]]:
    jobs: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_both_forges_do_the_same() -> None:
    by_forge = [{path.name: _steps(path) for path in WORKFLOWS if forge in path.parts} for forge in FORGES]
    assert by_forge[0] == by_forge[1]
    assert by_forge[0]


@pytest.mark.parametrize("path", WORKFLOWS, ids=_name)
def test_a_workflow_runs_make_targets_and_nothing_else(path: Path) -> None:
    commands = [line for step in _steps(path) if "run" in step for line in step["run"].strip().splitlines()]
    assert commands
    for command in commands:
        found = MAKE.fullmatch(command)
        assert found is not None, command
        assert found[1] in TARGETS, command


@pytest.mark.parametrize("path", WORKFLOWS, ids=_name)
def test_actions_are_pinned(path: Path) -> None:
    used = [step["uses"] for step in _steps(path) if "uses" in step]
    assert [one for one in used if not PINNED.fullmatch(one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=_name)
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_renovate_looks_at_every_file_that_pins_something() -> None:
    settings = json.loads((ROOT / "renovate.json").read_text("utf-8"))
    managers = [settings[name] for name in ("docker-compose", "dockerfile", "github-actions", "kubernetes")]
    patterns = [pattern.strip("/") for manager in managers for pattern in manager["managerFilePatterns"]]
    pinning = [
        *("deploy/compose/compose.yaml", "deploy/compose/compose.offline.yaml", "deploy/images/Dockerfile"),
        *(_name(path) for path in WORKFLOWS),
    ]
    assert [path for path in pinning if not any(re.search(pattern, path) for pattern in patterns)] == []


def test_renovate_finds_the_images_of_the_dockerfile() -> None:
    settings = json.loads((ROOT / "renovate.json").read_text("utf-8"))
    text = (ROOT / "deploy" / "images" / "Dockerfile").read_text("utf-8")
    pattern = settings["customManagers"][0]["matchStrings"][0].replace("(?<", "(?P<")
    found = {match["depName"]: match["currentValue"] for match in re.finditer(pattern, text)}
    assert set(found) == {"docker.io/library/python", "ghcr.io/astral-sh/uv"}
