"""What an archive worker survives: its database, the stream, and its own end."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handler_base.clients import HttpPool, llm_client
from handler_base.config import InferenceSettings
from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions.archive import Archive, PipelineRun
from handler_base.sessions.archive.titles import Titler
from handler_base.telemetry import metrics
from handler_base.testing.archive_bench import ArchiveBench, DifficultArchive
from handler_base.testing.inference import FakeLLM, LLMScript
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.postgres_server import PostgresServer
from handler_base.testing.waiting import wait_until

SECOND = timedelta(seconds=1)


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def bench(nats: NatsServer, archive_url: str) -> AsyncIterator[ArchiveBench]:
    async with ArchiveBench(nats.url, DifficultArchive(archive_url)) as made:
        yield made


async def test_the_transaction_that_runs_is_finished_when_it_stops(bench: ArchiveBench) -> None:
    worker = await bench.start(archive_batch=10, archive_flush=5)
    bench.archive.gate.clear()
    ids = await bench.tell(*range(15))
    await wait_until(lambda: bench.archive.attempts)
    stopping = asyncio.create_task(worker.stop(5 * SECOND))
    await asyncio.sleep(0)
    bench.archive.gate.set()
    await stopping

    assert await bench.archived() == ids[:10]
    assert len(await bench.stored_events()) == 10
    left = await bench.consumer()
    assert left.ack_floor.stream_seq == 10
    assert not worker.healthy

    await bench.start(archive_batch=10)
    # Long before the server would have given them up by itself.
    await bench.all_finished()
    assert await bench.archived() == ids


async def test_what_cannot_be_written_when_it_stops_is_handed_back(bench: ArchiveBench) -> None:
    first = await bench.start()
    bench.archive.away = True
    ids = await bench.tell(*range(5))
    await wait_until(lambda: "away" in first.trouble)
    await first.stop(SECOND)
    bench.archive.away = False
    await bench.start()
    await bench.all_finished()
    assert await bench.archived() == ids


async def test_a_transaction_that_does_not_end_is_left_within_the_budget(bench: ArchiveBench) -> None:
    worker = await bench.start()
    bench.archive.gate.clear()
    ids = await bench.tell(0)
    await wait_until(lambda: bench.archive.attempts)
    async with asyncio.timeout(2):
        await worker.stop(SECOND / 5)
    bench.archive.gate.set()
    await bench.start()
    await bench.all_finished()
    assert await bench.archived() == ids


async def test_a_stream_that_is_away_between_storing_and_telling_gets_to_know(
    bench: ArchiveBench, nats: NatsServer
) -> None:
    worker = await bench.start()
    bench.archive.answer.clear()
    ids = await bench.tell(*range(6))
    await wait_until(lambda: bench.archive.batches)
    nats.kill()
    bench.archive.answer.set()
    await wait_until(lambda: not worker.healthy)
    await nats.start_async()
    await wait_until(lambda: worker.healthy, timeout=10)
    await bench.all_finished()
    assert await bench.archived() == ids
    assert [event.data["message_id"] for event in await bench.stored_events()] == ids


async def test_the_fault_of_one_batch_does_not_end_the_archiving(bench: ArchiveBench) -> None:
    class Faulty(DifficultArchive):
        async def known(self, ids: object) -> set[str]:
            raise ZeroDivisionError

    await bench.archive.open()
    faulty = Faulty(bench.archive.url)
    faulty.forgets_to_answer = True
    await bench.start(archive=faulty)
    await bench.tell(0)
    await wait_until(lambda: faulty.attempts == 2)
    ids = await bench.tell(2)
    await wait_until(lambda: len(faulty.batches) == 3)
    assert faulty.batches[2] == ids
    await faulty.close()


async def test_a_forgotten_user_is_not_told_of(bench: ArchiveBench) -> None:
    await bench.start()
    bench.archive.away = True
    await bench.tell(0)
    await wait_until(lambda: bench.archive.attempts)
    await bench.archive.forget("ann", datetime.now(UTC))
    bench.archive.away = False
    await bench.all_finished()
    assert await bench.archived() == []
    assert bench.told == []


async def test_old_messages_are_removed_soon_after_the_start_and_again(bench: ArchiveBench) -> None:
    class Failing(Archive):
        times = 0

        async def expire(self, before: datetime) -> int:
            self.times += 1
            if self.times == 1:
                raise UpstreamUnavailableError
            assert timedelta(days=9) < datetime.now(UTC) - before < timedelta(days=11)
            return await super().expire(before)

    failing = Failing(bench.archive.url)
    await bench.start()
    ids = await bench.tell(0, 1)
    old = await bench.tell(2, occurred_at=(datetime.now(UTC) - timedelta(days=20)).isoformat())
    await bench.all_finished()
    assert await bench.archived() == [*ids, *old]
    worker = await bench.start(archive=failing, message_retention_days=10, expire_every=SECOND / 5)
    await wait_until(lambda: failing.times >= 3)
    assert await bench.archived() == ids
    await worker.stop(SECOND)
    await failing.close()


async def test_a_conversation_gets_its_title_after_its_answer(bench: ArchiveBench) -> None:
    pool = HttpPool()
    await pool.open()
    async with FakeLLM(LLMScript(tokens=("Ferry times",))) as llm:
        settings = InferenceSettings(vllm_url=llm.url, llm_model="fake-model")
        await bench.start(titler=Titler(llm_client(settings, pool), bench.archive))
        await bench.tell(0)
        await bench.all_finished()
        assert llm.requests == []
        await bench.tell(1)

        async def named() -> bool:
            return [row.title for row in await bench.archive.conversations()] == ["Ferry times"]

        await wait_until(named)
    await pool.close()


async def test_tables_that_may_not_be_made_are_waited_for(nats: NatsServer, bare_url: str) -> None:
    async with ArchiveBench(nats.url, DifficultArchive(bare_url)) as bench:
        worker = bench.worker(archive_migrate=False)
        await worker.start()
        ids = await bench.tell(0)
        await wait_until(lambda: worker.trouble and "not open yet" not in worker.trouble)
        maker = Archive(bare_url)
        await maker.open()
        await maker.close()
        await wait_until(lambda: worker.healthy, timeout=10)
        await bench.all_finished()
        assert await bench.archived() == ids


async def test_a_locked_file_is_waited_for(nats: NatsServer, sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    shutil.copy(sqlite_template, path)
    async with ArchiveBench(nats.url, DifficultArchive(str(path))) as bench:
        worker = await bench.start()
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            ids = await bench.tell(*range(10))
            await wait_until(lambda: not worker.healthy, timeout=10)
            other.rollback()
        await bench.all_finished()
        assert worker.healthy
        assert await bench.archived() == ids


async def test_a_server_that_is_killed_and_comes_back_misses_nothing(nats: NatsServer) -> None:
    try:
        postgres = PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    async with ArchiveBench(nats.url, DifficultArchive(postgres.url)) as bench:
        worker = bench.worker(archive_batch=10, ack_wait=1)
        await worker.start()
        ids = await bench.tell(*range(50))
        # It is away at the start, and once more under way.
        await wait_until(lambda: worker.trouble and "not open yet" not in worker.trouble)
        await postgres.start_async()
        await wait_until(lambda: worker.healthy, timeout=10)
        ids += await bench.tell(*range(50, 100))
        await wait_until(lambda: len(bench.told) > 50)
        postgres.kill()
        ids += await bench.tell(*range(100, 150))
        await wait_until(lambda: not worker.healthy, timeout=10)
        await postgres.start_async()
        await bench.all_finished()
        assert await bench.archived() == ids
        assert sorted(event.id for event in await bench.stored_events()) == sorted(f"{each}/stored" for each in ids)
    postgres.close()


async def test_runs_wait_for_a_database_that_is_away(bench: ArchiveBench) -> None:
    worker = await bench.start()
    bench.archive.away = True
    await bench.tell_run("run_created", pipeline="two")
    await bench.tell_run("run_completed", status="succeeded")
    await wait_until(lambda: "away" in worker.trouble and bench.archive.attempts >= 4)
    assert (await bench.consumer()).num_ack_pending == 2
    bench.archive.away = False
    await bench.all_finished()
    (run,) = await bench.archive.runs()
    assert (run.request_id, run.pipeline, run.status) == ("run", "two", "succeeded")
    assert worker.healthy
    assert (await bench.consumer()).num_redelivered == 0


async def test_a_run_that_cannot_be_written_when_it_stops_is_handed_back(bench: ArchiveBench) -> None:
    first = await bench.start()
    bench.archive.away = True
    await bench.tell_run("run_created")
    await wait_until(lambda: "away" in first.trouble)
    await first.stop(SECOND)
    bench.archive.away = False
    assert await bench.archive.runs() == []
    await bench.start()
    await bench.all_finished()
    assert [run.request_id for run in await bench.archive.runs()] == ["run"]


async def test_a_fault_in_a_run_does_not_end_the_archiving(bench: ArchiveBench) -> None:
    class Faulty(DifficultArchive):
        async def store_run(self, run: PipelineRun) -> None:
            raise ZeroDivisionError

    faulty = Faulty(bench.archive.url)
    swallowed = metrics.SWALLOWED_ERRORS.of("archive.run")
    before = swallowed._value.get()
    worker = bench.worker(archive=faulty)
    await worker.start()
    await bench.tell_run("run_created")
    ids = await bench.tell(0)
    await wait_until(lambda: swallowed._value.get() > before and faulty.batches)
    assert faulty.batches == [ids]
    assert worker.healthy

    async def left() -> bool:
        return (await bench.consumer()).num_ack_pending == 1

    # The message is done with, and the run is kept for a later attempt.
    await wait_until(left)
    assert await bench.dead_letters() == []
    await worker.stop(SECOND)
    await faulty.close()
