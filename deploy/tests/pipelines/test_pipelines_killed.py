"""A folder triggered, followed and put into a collection by the real bridge, which is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings, hang
from handler_base.testing.milvus import MilvusLite
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until

COLLECTION = "documents"
STEP = "pipeline_bridge.steps.document_ingestion"


@dataclass
class Stand:
    """What a run needs, on this machine."""

    environment: dict[str, str]
    bridge: ServiceProcess
    milvus: MilvusLite
    embeddings: EmbeddingsScript
    folder: Path
    commands: list[asyncio.subprocess.Process] = field(default_factory=list)

    def write(self, count: int) -> None:
        for number in range(count):
            (self.folder / f"{number:03}.md").write_text(f"# Station {number}\n\nIts code is {number * 37}.\n", "utf-8")

    async def trigger(self, request_id: str) -> Following:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "handler_base.cli", "trigger", "document-ingestion"),
            *("-p", f"source-url=file://{self.folder}", "-p", f"collection={COLLECTION}"),
            *("--request-id", request_id, "--follow", "--json", "--timeout", "60"),
            env={**os.environ, **self.environment},
            cwd=self.folder.parent,
            stdout=asyncio.subprocess.PIPE,
        )
        self.commands.append(process)
        return Following(process)

    async def close(self) -> None:
        """End the commands that a test left behind."""
        for process in self.commands:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def step(self) -> psutil.Process | None:
        """Return the process of the step, while it runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.bridge.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if STEP in child.cmdline():
                        return child
        return None

    def chunks(self) -> list[str]:
        """Return the document of every chunk that is stored, sorted."""
        from pymilvus import MilvusClient

        client = MilvusClient(self.milvus.uri)
        rows = client.query(COLLECTION, filter="position >= 0", output_fields=["source_url"], limit=10_000)
        client.close()
        return sorted(row["source_url"] for row in rows)


class Following:
    """`fleet trigger --follow`, read as it goes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.statuses: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def reaches(self, done: int) -> None:
        """Wait until the last thing it told is so much progress, or more."""
        await wait_until(lambda: self.statuses and self._done() >= done, timeout=60)

    async def end(self) -> int:
        await self._reading
        return await self._process.wait()

    @property
    def told(self) -> list[str]:
        """The statuses, each as often as it was told, without the progress between them."""
        found: list[str] = []
        for status in self.statuses:
            if status["status"] != "running" or "running" not in found:
                found.append(status["status"])
        return found

    def _done(self) -> int:
        return int(self.statuses[-1]["progress"].partition("/")[0] or 0)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.statuses.append(json.loads(line))


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    folder = tmp_path / "docs"
    folder.mkdir()
    milvus = MilvusLite(tmp_path / "milvus")
    script = EmbeddingsScript()
    async with FakeEmbeddings(script) as embeddings:
        with NatsServer() as nats:
            await asyncio.to_thread(milvus.start)
            environment = {
                "NATS_URL": nats.url,
                "MILVUS_HOST": "127.0.0.1",
                "MILVUS_PORT": str(milvus.port),
                "MILVUS_API": "grpc",
                "EMBEDDINGS_URL": embeddings.url,
                "SOURCE_URLS": f"file://{folder}",
                "ARTIFACTS_DIR": str(tmp_path / "artifacts"),
                "LOG_FORMAT": "text",
            }
            async with ServiceProcess("pipeline_bridge", environment) as bridge:
                made = Stand(environment, bridge, milvus, script, folder)
                yield made
                await made.close()
            milvus.stop()


async def kill_the_step(stand: Stand) -> None:
    step = stand.step()
    assert step is not None
    step.send_signal(signal.SIGKILL)


async def kill_the_bridge(stand: Stand) -> None:
    step = stand.step()
    assert step is not None
    await stand.bridge.kill()
    # It ends by itself, so that the same run is not under way twice.
    await wait_until(lambda: not step.is_running() or step.status() == psutil.STATUS_ZOMBIE, timeout=10)
    await stand.bridge.start()


async def kill_bridges(stand: Stand, following: Following, times: int) -> None:
    for _ in range(times):
        before = len(following.statuses)
        await wait_until(lambda before=before: len(following.statuses) > before + 1, timeout=60)
        await kill_the_bridge(stand)


async def check_the_end(stand: Stand, following: Following, count: int) -> None:
    assert await following.end() == 0, stand.bridge.log
    assert following.told == ["submitted", "pending", "running", "succeeded"]
    assert following.statuses[-1]["progress"] == f"{count}/{count}"
    assert stand.chunks() == [f"docs/{number:03}.md" for number in range(count)]


async def test_the_bridge_is_killed_half_way_and_the_run_succeeds_once(stand: Stand) -> None:
    stand.write(10)
    stand.embeddings.failures = [None] * 5
    stand.embeddings.always = hang()
    following = await stand.trigger("killed")
    await following.reaches(1)
    stand.embeddings.always = None  # those that were asked hang until the step has ended
    await kill_the_bridge(stand)
    await check_the_end(stand, following, 10)


@pytest.mark.faults
async def test_300_documents_while_the_step_and_five_bridges_are_killed(stand: Stand) -> None:
    stand.write(300)
    stand.embeddings.delay = 0.1
    following = await stand.trigger("killed")
    await following.reaches(50)
    await kill_the_step(stand)
    await kill_bridges(stand, following, 5)
    await check_the_end(stand, following, 300)
    again = await stand.trigger("killed")
    assert await again.end() == 0
    assert again.statuses[-1]["finished_at"] == following.statuses[-1]["finished_at"]
