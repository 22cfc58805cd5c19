"""A pipeline bridge on a real nats-server, with fakes of the engines' servers on sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from handler_base.testing.nats_server import NatsServer
from handler_base.testing.services import StartService, services
from pipeline_bridge import BridgeSettings, PipelineBridge
from pipeline_bridge.testing import FakeArgo, FakeKubeflow, PipelineCaller, pipeline_caller

TABLE = """
pipelines:
  one:
    engine: argo
    argo: {template: one-template}
    parameters:
      source-url: {required: true, max_length: 200}
      top-k: {type: integer, default: 5, allowed: [1, 5, 10]}
      deep: {type: boolean, default: false}
  two:
    engine: kubeflow
    kubeflow: {pipeline: two-pipeline}
    parameters:
      top-k: {type: integer, default: 5}
      share: {type: number, default: 0.5}
      query: {default: hello}
  here:
    engine: local
    local: {steps: [bridge_test_steps.counting]}
    parameters:
      parts: {type: integer, default: 2}
      fail: {type: boolean, default: false}
      file: {default: none}
"""


@pytest.fixture
async def argo() -> AsyncIterator[FakeArgo]:
    async with FakeArgo("one-template") as running:
        yield running
    assert running.wrong == []


@pytest.fixture
async def kubeflow() -> AsyncIterator[FakeKubeflow]:
    async with FakeKubeflow("two-pipeline") as running:
        yield running
    assert running.wrong == []


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The file with the pipelines."""
    path = tmp_path / "pipelines.yaml"
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.fixture
def write_table(table: Path) -> Callable[[str], None]:
    """Write the table anew, in one go as an orchestrator does."""

    def write(text: str) -> None:
        other = table.with_suffix(".new")
        other.write_text(text, encoding="utf-8")
        other.replace(table)

    return write


@pytest.fixture(autouse=True)
def _steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bridge find the steps of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
async def start(nats: NatsServer, argo: FakeArgo, kubeflow: FakeKubeflow, table: Path) -> AsyncIterator[StartService]:
    """Start bridges; all of them are stopped at the end."""
    async with services(
        PipelineBridge,
        BridgeSettings,
        nats_url=nats.url,
        argo_host=argo.url,
        kubeflow_host=kubeflow.url,
        kubeflow_poll=0.05,
        pipelines_file=str(table),
        drain_timeout=2,
    ) as start_one:
        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[PipelineCaller]:
    async with pipeline_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def bridge(start: StartService, caller: PipelineCaller) -> PipelineCaller:
    """A caller of a bridge with the settings a test has when it names none."""
    await start()
    return caller
