"""Two builds compared: nothing cached is used, and a layer that differs is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.images.engine import find_engine
from deploy.images.reproduce import reproduce

ENGINE = """#!/bin/sh
echo "$@" >>"{folder}/asked"
case "$1" in
build) cat "{folder}/again" 2>/dev/null >"{folder}/layers" || echo sha256:one sha256:two >"{folder}/layers" ;;
esac
case "$1 $2" in
"image inspect") cat "{folder}/layers"; echo "{second}" >"{folder}/again" ;;
esac
"""


def _compare(folder: Path, monkeypatch: pytest.MonkeyPatch, second: str) -> list[tuple[int, bool]]:
    """Compare two builds by an engine whose second build has the layers that are given."""
    program = folder / "podman"
    program.write_text(ENGINE.format(folder=folder, second=second), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    layers = reproduce(find_engine("podman"), ["tts-module"], "localhost/test", "1", published_base=True)
    return [(one.number, one.equal) for one in layers]


def test_equal_builds_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _compare(tmp_path, monkeypatch, "sha256:one sha256:two") == [(1, True), (2, True)]


def test_a_layer_that_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _compare(tmp_path, monkeypatch, "sha256:one sha256:other") == [(1, True), (2, False)]


def test_a_layer_that_only_one_build_has_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _compare(tmp_path, monkeypatch, "sha256:one") == [(1, True), (2, False)]


def test_nothing_of_an_earlier_build_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _compare(tmp_path, monkeypatch, "sha256:one sha256:two")
    builds = [line for line in (tmp_path / "asked").read_text("utf-8").splitlines() if line.startswith("build ")]
    assert len(builds) == 2
    assert all("--no-cache" in line.split() for line in builds)
