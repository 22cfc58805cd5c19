"""Runs of pipelines in the archive: one row each, for good, on either database."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

import handler_base.sessions.archive.migrations as migrations_package
from handler_base.errors import InvalidRequestError
from handler_base.messages import DomainEvent
from handler_base.messages.domain import RunState
from handler_base.messages.subjects import PIPELINE_EVENT
from handler_base.sessions.archive import Archive, PipelineRun
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.events import MESSAGE_SUBJECTS, RUN_SUBJECTS, archived_run
from handler_base.sessions.archive.runs import read_parameters
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]
At = Callable[[float], datetime]

STORED = datetime(2030, 5, 1, 12, 0, 1, tzinfo=UTC)
CREATED, STARTED, COMPLETED = RUN_SUBJECTS


def told(at: At, status: RunState, **fields: Any) -> PipelineRun:  # noqa: ANN401 - the fields of a run
    """Make what one event of a run tells: submitted at noon, begun a minute and ended two minutes later."""
    known: dict[str, Any] = {"request_id": "r1", "status": status, "submitted_at": at(0), "run_id": "w-1"}
    if status is RunState.RUNNING:
        known |= {"started_at": at(1), "submitted_at": at(1)}
    else:
        known |= {"pipeline": "two", "engine": "argo", "user_id": "ada", "parameters": {"top-k": 5, "deep": True}}
    if status.final:
        known |= {"finished_at": at(2), "error": "It broke." if status is RunState.FAILED else ""}
    return PipelineRun(**{**known, **fields})


@pytest.fixture
def whole(at: At) -> PipelineRun:
    return PipelineRun(
        request_id="r1",
        status=RunState.FAILED,
        submitted_at=at(0),
        run_id="w-1",
        pipeline="two",
        engine="argo",
        user_id="ada",
        parameters={"top-k": 5, "deep": True},
        started_at=at(1),
        finished_at=at(2),
        error="It broke.",
    )


async def test_a_run_goes_on_event_by_event(archive: Archive, at: At, whole: PipelineRun) -> None:
    seen = []
    for status in (RunState.PENDING, RunState.RUNNING, RunState.FAILED):
        await archive.store_run(told(at, status))
        (run,) = await archive.runs()
        seen.append((run.status, run.started_at, run.finished_at, run.error))
    assert seen == [("pending", None, None, ""), ("running", at(1), None, ""), ("failed", at(1), at(2), "It broke.")]
    assert await archive.runs() == [whole]


async def test_the_order_in_which_it_is_told_makes_no_difference(archive: Archive, at: At, whole: PipelineRun) -> None:
    states = (RunState.PENDING, RunState.RUNNING, RunState.FAILED)
    for number, order in enumerate(itertools.permutations(states)):
        for status in order:
            await archive.store_run(told(at, status, request_id=f"r{number}"))
    found = await archive.runs()
    assert len(found) == 6
    assert {run.request_id for run in found} == {f"r{number}" for number in range(6)}
    for run in found:
        assert (run.status, run.submitted_at, run.started_at) == (whole.status, whole.submitted_at, whole.started_at)
        assert (run.parameters, run.user_id, run.pipeline) == (whole.parameters, whole.user_id, whole.pipeline)
        assert (run.finished_at, run.error) == (whole.finished_at, whole.error)


async def test_what_is_told_again_changes_nothing(archive: Archive, at: At, whole: PipelineRun) -> None:
    states = (RunState.PENDING, RunState.RUNNING, RunState.FAILED)
    for status in (*states, *states):
        await archive.store_run(told(at, status))
    # A replica that took the run over tells it again, later.
    await archive.store_run(told(at, RunState.RUNNING, started_at=at(5)))
    await archive.store_run(told(at, RunState.FAILED, finished_at=at(6), error="It broke again.", submitted_at=at(6)))
    assert await archive.runs() == [whole]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RunState.SUCCEEDED, RunState.FAILED),
        (RunState.FAILED, RunState.SUCCEEDED),
        (RunState.FAILED, RunState.RUNNING),
        (RunState.RUNNING, RunState.PENDING),
    ],
)
async def test_a_status_never_goes_back(archive: Archive, at: At, first: RunState, second: RunState) -> None:
    await archive.store_run(told(at, first))
    (before,) = await archive.runs()
    await archive.store_run(told(at, second, finished_at=at(9) if second.final else None))
    (after,) = await archive.runs()
    assert (after.status, after.finished_at, after.error) == (first, before.finished_at, before.error)


async def test_replicas_that_store_at_once_make_one_row(archive: Archive, archive_url: str, at: At) -> None:
    other = Archive(archive_url)
    await other.open()
    given = [told(at, status) for status in (RunState.PENDING, RunState.RUNNING, RunState.SUCCEEDED)] * 4
    await asyncio.gather(*(which.store_run(run) for run in given for which in (archive, other)))
    await other.close()
    (run,) = await archive.runs()
    assert (run.status, run.started_at, run.finished_at) == (RunState.SUCCEEDED, at(1), at(2))


async def test_runs_are_chosen_newest_first(archive: Archive, at: At) -> None:
    for number in range(4):
        status, pipeline = (RunState.FAILED, "odd") if number % 2 else (RunState.SUCCEEDED, "even")
        run = told(at, status, request_id=f"r{number}", pipeline=pipeline, submitted_at=at(number))
        await archive.store_run(run)

    async def ids(**which: Any) -> list[str]:  # noqa: ANN401 - the arguments of `runs`
        return [run.request_id for run in await archive.runs(**which)]

    assert await ids() == ["r3", "r2", "r1", "r0"]
    assert await ids(limit=1) == ["r3"]
    assert await ids(pipeline="odd") == ["r3", "r1"]
    assert await ids(status="succeeded") == ["r2", "r0"]
    assert await ids(request_id="r1") == ["r1"]
    assert await ids(request_id="r1", pipeline="even") == []
    with pytest.raises(InvalidRequestError):
        await ids(limit=0)


async def test_runs_outlive_the_messages(archive: Archive, at: At, message: MakeMessage, whole: PipelineRun) -> None:
    await archive.store([message(0)])
    await archive.store_run(whole)
    assert await archive.expire(at(10_000)) == 1
    assert await archive.runs() == [whole]


async def test_text_that_no_database_takes_is_kept_as_far_as_it_can_be(archive: Archive, at: At) -> None:
    await archive.store_run(told(at, RunState.FAILED, error="a\0b", parameters={"url": "x\0y"}))
    (run,) = await archive.runs()
    assert (run.error, run.parameters) == ("ab", {"url": "x\0y"})


async def test_a_forgotten_users_runs_stay_and_do_not_say_whose(archive: Archive, at: At, whole: PipelineRun) -> None:
    await archive.store_run(whole)
    await archive.store_run(told(at, RunState.SUCCEEDED, request_id="r2", submitted_at=at(20)))
    await archive.store_run(told(at, RunState.SUCCEEDED, request_id="r3", user_id="bob"))
    await archive.store_run(told(at, RunState.SUCCEEDED, request_id="r4", user_id=""))
    await archive.forget("ada", at(10))
    found = {run.request_id: (run.user_id, run.parameters) for run in await archive.runs()}
    kept = {"top-k": 5, "deep": True}
    assert found == {"r1": ("", {}), "r2": ("ada", kept), "r3": ("bob", kept), "r4": ("", kept)}
    (run,) = await archive.runs(request_id="r1")
    assert (run.status, run.pipeline, run.finished_at) == (RunState.FAILED, "two", at(2))


async def test_what_is_told_late_does_not_bring_a_forgotten_user_back(archive: Archive, at: At) -> None:
    await archive.store_run(told(at, RunState.PENDING))
    await archive.forget("ada", at(10))
    # Of a run that is known, whenever it is said to be from; of one that is not, if it is from before.
    await archive.store_run(told(at, RunState.SUCCEEDED, submitted_at=at(20), finished_at=at(21)))
    await archive.store_run(told(at, RunState.SUCCEEDED, request_id="r2"))
    await archive.store_run(told(at, RunState.SUCCEEDED, request_id="r3", submitted_at=at(20)))
    found = {run.request_id: (run.user_id, run.parameters) for run in await archive.runs()}
    assert found == {"r1": ("", {}), "r2": ("", {}), "r3": ("ada", {"top-k": 5, "deep": True})}
    assert {run.status for run in await archive.runs()} == {RunState.SUCCEEDED}


async def test_forgetting_while_others_store_lets_no_run_through(archive: Archive, at: At) -> None:
    given = [told(at, RunState.PENDING, request_id=f"r{number}") for number in range(40)]

    async def store_all() -> None:
        for run in given:
            await archive.store_run(run)

    storing = asyncio.create_task(store_all())
    await archive.store_run(given[0])
    await archive.forget("ada", at(1))
    await storing
    found = await archive.runs()
    assert len(found) == 40
    assert {(run.user_id, len(run.parameters)) for run in found} == {("", 0)}


async def test_a_file_does_not_keep_whose_run_it_was(sqlite_template: Path, at: At, tmp_path: Path) -> None:
    path = Path(shutil.copy(sqlite_template, tmp_path / "archive.db"))
    archive = Archive(str(path))
    await archive.open()
    await archive.store_run(told(at, RunState.SUCCEEDED, user_id="mistletoe", parameters={"who": "mistletoe"}))

    def held() -> bytes:
        return b"".join(each.read_bytes() for each in tmp_path.glob("archive.db*"))

    assert b"mistletoe" in held()
    await archive.forget("mistletoe", at(1))
    assert b"mistletoe" not in held()
    await archive.close()


async def test_an_archive_from_before_there_were_runs_is_brought_up(
    altered_url: str, message: MakeMessage, whole: PipelineRun
) -> None:
    def back(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations_package.__path__[0])))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")

    archive = Archive(altered_url)
    await archive.open()
    await archive.store([message(0)])
    await archive.close()
    database = Database(parse_address(altered_url), statement_timeout=timedelta(seconds=5))
    database.open()
    await database.run("migrate", lambda connection: connection.run_sync(back))
    await database.close()

    await archive.open()
    assert await archive.messages("ada", "s1") == [message(0)]
    await archive.store_run(whole)
    assert await archive.runs() == [whole]
    await archive.close()


async def test_the_database_takes_no_other_status(archive: Archive, archive_url: str, at: At) -> None:
    await archive.store_run(told(at, RunState.PENDING))
    database = Database(parse_address(archive_url), statement_timeout=timedelta(seconds=5))
    database.open()
    with pytest.raises(InvalidRequestError):
        await database.run(
            "write", lambda connection: connection.execute(text("UPDATE pipeline_runs SET status = 'error'"))
        )
    await database.close()


def event(**fields: object) -> DomainEvent:
    known = {"request_id": "r1", "occurred_at": "2030-05-01T12:00:00.500Z", "data": {}, **fields}
    return DomainEvent(**known)  # type: ignore[arg-type]  # checked by the assertions


def test_the_events_of_a_run() -> None:
    moment = STORED - timedelta(milliseconds=500)
    known = {
        "run_id": "w-1",
        "pipeline": "two",
        "engine": "argo",
        "submitted_at": "2030-05-01T11:59:00.000Z",
        "parameters": '{"top-k":5,"deep":false,"share":0.5,"query":"x"}',
    }
    created = archived_run(CREATED, event(user_id="ann", data=known), stored_at=STORED)
    assert created == PipelineRun(
        request_id="r1",
        status=RunState.PENDING,
        submitted_at=STORED - timedelta(seconds=61),
        run_id="w-1",
        pipeline="two",
        engine="argo",
        user_id="ann",
        parameters={"top-k": 5, "deep": False, "share": 0.5, "query": "x"},
    )
    started = archived_run(STARTED, event(data={"run_id": "w-1", "step": "one"}), stored_at=STORED)
    assert (started.status, started.started_at, started.run_id) == (RunState.RUNNING, moment, "w-1")
    assert (started.finished_at, started.submitted_at, started.parameters) == (None, moment, {})
    ended = {"status": "failed", "error": "It broke.", "finished_at": "2030-05-01T12:00:00.250Z"}
    completed = archived_run(COMPLETED, event(data=known | ended), stored_at=STORED)
    assert (completed.status, completed.error) == (RunState.FAILED, "It broke.")
    assert (completed.started_at, completed.finished_at) == (None, STORED - timedelta(milliseconds=750))
    bare = archived_run(COMPLETED, event(data={"status": "succeeded"}), stored_at=STORED)
    assert (bare.status, bare.finished_at, bare.submitted_at) == (RunState.SUCCEEDED, moment, moment)


@pytest.mark.parametrize(
    ("subject", "fields"),
    [
        (PIPELINE_EVENT.format(name="trigger_received"), {}),
        (MESSAGE_SUBJECTS[0], {"data": {"text": "x"}}),
        (CREATED, {"request_id": ""}),
        (CREATED, {"request_id": "a.b"}),
        (CREATED, {"user_id": "x" * 129}),
        (COMPLETED, {}),
        (COMPLETED, {"data": {"status": "error"}}),
        (COMPLETED, {"data": {"status": "running"}}),
        (COMPLETED, {"data": {"status": 4}}),
    ],
    ids=str,
)
def test_an_event_that_tells_of_no_run_is_refused(subject: str, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        archived_run(subject, event(**fields), stored_at=STORED)


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"a":{}}', '{"a":null}', "5"])
def test_parameters_that_cannot_be_read_are_none(kept: str) -> None:
    assert read_parameters(kept) == {}


@pytest.mark.parametrize("field", ["submitted_at", "started_at", "finished_at"])
def test_a_time_of_a_run_has_a_time_zone(at: At, field: str) -> None:
    with pytest.raises(InvalidRequestError, match="time zone"):
        told(at, RunState.PENDING, **{field: at(0).replace(tzinfo=None)})


values = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text())


@given(
    subject=st.sampled_from(RUN_SUBJECTS),
    fields=st.fixed_dictionaries(
        {},
        optional={
            **{name: st.text() for name in ("occurred_at", "user_id", "request_id")},
            "data": st.dictionaries(
                st.sampled_from(["run_id", "pipeline", "engine", "parameters", "submitted_at", "finished_at", "error"])
                | st.just("status"),
                values | st.sampled_from(["succeeded", "failed"]),
            ),
        },
    ),
)
def test_any_event_is_a_run_or_refused(subject: str, fields: dict[str, object]) -> None:
    try:
        run = archived_run(subject, event(**fields), stored_at=STORED)
    except InvalidRequestError:
        return
    assert "\0" not in run.run_id + run.pipeline + run.engine + run.error
    assert run.submitted_at <= STORED
    assert (run.finished_at is not None) == run.status.final
