"""`make manifests-check` says plainly what it cannot do, and what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.manifests.checks import __main__ as checks
from deploy.manifests.checks.rendering import RenderingError, render_all


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "argv", ["manifests-check"])
    return folder


def fake_kubectl(folder: Path, script: str) -> str:
    """Put a program in kubectl's place: the real one is not on every machine."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.mark.usefixtures("programs")
def test_without_kubectl_nothing_counts_as_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.main() == 1
    assert "kubectl is not on this machine" in capsys.readouterr().err


def test_what_cannot_be_rendered_is_named(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_kubectl(programs, "echo 'error: no such file' >&2; exit 1")
    assert checks.main() == 1
    told = capsys.readouterr().err
    assert told.startswith("cannot be rendered: apps")
    assert "no such file" in told


def test_every_kustomization_and_component_is_rendered(programs: Path) -> None:
    kubectl = fake_kubectl(programs, 'echo "{kind: Seen, name: $2}"')
    names = {rendered.name for rendered in render_all(kubectl)}
    assert {"apps", "apps/ai-ml/chat-handler/app", "components/cilium/tts-module", "components/api-keys"} <= names
    assert {"components/secrets-sops/nats", "components/secrets-eso/nats"} <= names
    with pytest.raises(RenderingError, match="apps"):
        render_all(fake_kubectl(programs, "exit 1"))
