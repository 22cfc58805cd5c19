"""Steps, run in this process or as the local engine and the pods of a workflow run them: as processes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from handler_base.config import RagSettings
from handler_base.testing.inference import FakeEmbeddings
from handler_base.testing.milvus import MilvusLite, milvus_lite
from handler_base.testing.waiting import wait_until
from pipeline_bridge.steps import Assignment, Step

RunStep = Callable[..., Awaitable["Told"]]


@dataclass
class Told:
    """What a step told."""

    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def progress(self) -> list[tuple[int, int]]:
        return [(one["done"], one["total"]) for one in self.reports if one["report"] == "progress"]

    @property
    def message(self) -> str:
        return str(self.reports[-1].get("message", ""))

    @property
    def artifacts(self) -> list[tuple[str, str, str]]:
        return [(one["name"], one["type"], one["uri"]) for one in self.reports if one["report"] == "artifact"]


class StepProcess:
    """A step as a process, given its assignment as a container is."""

    def __init__(self, module: str, parameters: dict[str, Any], environment: dict[str, str], run_id: str = "") -> None:
        self._module = module
        self._assignment = json.dumps({"run_id": run_id, "parameters": parameters})
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.told = Told()
        self.errors = b""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pipeline_bridge.steps", f"pipeline_bridge.steps.{self._module}"),
            env={**os.environ, **self._environment, "PIPELINE_ASSIGNMENT": self._assignment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def reaches(self, done: int) -> None:
        """Wait until it has told of so much progress."""
        await wait_until(lambda: any(one >= done for one, _ in self.told.progress), timeout=20)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self.end()

    async def end(self) -> int:
        assert self._process is not None
        assert self._reading is not None
        await self._reading
        return await self._process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        async for line in process.stdout:
            self.told.reports.append(json.loads(line))
        self.errors = await process.stderr.read()


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
async def embeddings() -> AsyncIterator[FakeEmbeddings]:
    async with FakeEmbeddings() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that may be read; artifacts go beside it, and nothing else is set."""
    for name in (name.upper() for name in RagSettings.model_fields if name.upper() in os.environ):
        monkeypatch.delenv(name)
    folder = tmp_path / "docs"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_URLS", f"file://{folder}")
    monkeypatch.setenv("ARTIFACTS_DIR", str(tmp_path / "artifacts"))
    return folder


@pytest.fixture
def collection(folder: Path, milvus: MilvusLite, embeddings: FakeEmbeddings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a collection that is not there yet; the steps are pointed at Milvus and the embeddings."""
    monkeypatch.setenv("MILVUS_HOST", "127.0.0.1")
    monkeypatch.setenv("MILVUS_PORT", str(milvus.port))
    monkeypatch.setenv("MILVUS_API", "grpc")
    monkeypatch.setenv("EMBEDDINGS_URL", embeddings.url)
    return f"c_{uuid4().hex}"


@pytest.fixture
def run_step(folder: Path) -> RunStep:
    """Runs a step in this process; what it raises comes through."""

    async def run(step: Callable[[Step], Awaitable[None]], run_id: str = "", **parameters: Any) -> Told:  # noqa: ANN401
        output = io.BytesIO()
        given = {name.replace("_", "-"): value for name, value in parameters.items()}
        await step(Step(Assignment(run_id=run_id, parameters=given), output))
        return Told([json.loads(line) for line in output.getvalue().splitlines()])

    return run
