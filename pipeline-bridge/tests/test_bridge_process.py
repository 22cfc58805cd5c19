"""The bridge as a process: its settings, its end, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("aiohttp", "av", "grpc", "hera", "kfp_server_api", "numpy", "pandas", "pymilvus", "google.protobuf", "redis")

CODE = """
import sys
sys.modules["aiohttp"] = None
import {module}
print(*(name for name in {heavy!r} if sys.modules.get(name) is not None))
"""


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PIPELINE_ENGINE", "airflow", "'auto', 'configured' or 'local'"),
        ("ARGO_NAMESPACE", "../kube-system", "pattern"),
        ("ARGO_HOST", "argo:2746", "must begin with http"),
        ("KUBEFLOW_POLL", "0", "greater than 0"),
        ("PIPELINES_FILE", "/nowhere/pipelines.yaml", "/nowhere/pipelines.yaml: cannot be read"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(name: str, value: str, complaint: str) -> None:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline_bridge"],
        env={**kept, name: value},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert complaint in line


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("pipeline_bridge.__main__", HEAVY), ("pipeline_bridge.steps.__main__", (*HEAVY, "httpx", "nats"))],
)
def test_it_starts_without_heavy_packages(module: str, heavy: tuple[str, ...]) -> None:
    code = CODE.format(module=module, heavy=heavy)
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=20)
    assert ended.stdout.split() == []


def test_a_step_ends_when_nobody_watches_over_it(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.touch()
    assignment = f'{{"parameters": {{"parts": 1, "fail": false, "file": "{lines}"}}}}\n'
    step = subprocess.run(
        [sys.executable, "-m", "pipeline_bridge.steps", "bridge_test_steps.counting"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        input=assignment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert step.returncode == 3
    assert step.stdout == ""
