"""`fleet pipelines`, `fleet trigger` and `fleet runs`, with a bridge that follows a script."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handler_base.messages import (
    Artifact,
    CancelRequest,
    DomainEvent,
    PipelineStatus,
    PipelineTrigger,
    decode,
    detect,
    encode,
)
from handler_base.messages.domain import RunState
from handler_base.messages.streams import AI_PIPELINE
from handler_base.messages.subjects import (
    PIPELINE_CANCEL,
    PIPELINE_EVENT,
    PIPELINE_STATUS,
    PIPELINE_TRIGGER,
)
from handler_base.nats_client import Msg, NatsConnection, ServiceResponder, StreamManager
from handler_base.sessions.archive import Archive, PipelineRun
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

from .conftest import Fleet, Spawn

TABLE = [
    {
        "name": "document-ingestion",
        "engine": "local",
        "description": "Puts documents in.",
        "parameters": [
            {"name": "source-url", "type": "string", "required": True, "description": "Where they are."},
            {"name": "max-failures", "type": "integer", "default": 0},
            {"name": "mode", "type": "string", "default": "all", "allowed": ["all", "new"]},
        ],
    },
    {"name": "rag-query", "engine": "kubeflow", "parameters": []},
]
Play = Callable[["FakeBridge", PipelineTrigger], Coroutine[None, None, None]]


class FakeBridge:
    """Speaks for a pipeline-bridge: its table, and the statuses a test tells it to give."""

    def __init__(self, connection: NatsConnection, play: Play) -> None:
        self.connection = connection
        self.triggers: list[PipelineTrigger] = []
        self.cancelled = asyncio.Event()
        self._play = play
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await StreamManager(self.connection).ensure((AI_PIPELINE,))
        responder = ServiceResponder(
            self.connection, name="pipeline-bridge", version="1.0.0", metadata={"pipelines": json.dumps(TABLE)}
        )
        await responder.start()
        await self.connection.subscribe(PIPELINE_TRIGGER.template, self._triggered)
        await self.connection.subscribe(PIPELINE_CANCEL.pattern, self._cancel)
        await self.connection.flush()

    async def tell(self, trigger: PipelineTrigger, status: str, **fields: Any) -> None:  # noqa: ANN401 - of the status
        told = PipelineStatus(
            request_id=trigger.request_id,
            status=status,
            run_id="run-1",
            engine="local",
            pipeline=trigger.pipeline,
            submitted_at="2026-01-02T03:04:05Z",
            timestamp="2026-01-02T03:04:06Z",
        )
        for name, value in fields.items():
            setattr(told, name, value)
        await self.connection.jetstream_publish(PIPELINE_STATUS.format(request_id=trigger.request_id), encode(told))

    async def progress(self, trigger: PipelineTrigger, text: str) -> None:
        for request_id, progress in ((trigger.request_id, text), ("another", "9/9")):
            event = DomainEvent(
                name="step_completed", request_id=request_id, data={"step": "ingest", "progress": progress}
            )
            await self.connection.publish(PIPELINE_EVENT.format(name=event.name), encode(event))

    def _triggered(self, msg: Msg) -> None:
        trigger = decode(PipelineTrigger, msg.data, detect(msg.data, None))
        self.triggers.append(trigger)
        task = asyncio.get_running_loop().create_task(self._play(self, trigger))
        self._tasks.add(task)

    def _cancel(self, msg: Msg) -> None:
        assert decode(CancelRequest, msg.data, detect(msg.data, None)).request_id == self.triggers[-1].request_id
        self.cancelled.set()


async def succeed(bridge: FakeBridge, trigger: PipelineTrigger) -> None:
    await bridge.tell(trigger, "submitted")
    await bridge.tell(trigger, "pending")
    await bridge.tell(trigger, "running")
    await bridge.progress(trigger, "1/2")
    artifact = Artifact(id="a", run_id="run-1", name="report", type="metrics", uri="s3://bucket/report.json")
    await bridge.tell(
        trigger,
        "succeeded",
        progress="2/2",
        message="2 documents.",
        artifacts=[artifact],
        finished_at="2026-01-02T03:04:17.5Z",
    )


async def fail_it(bridge: FakeBridge, trigger: PipelineTrigger) -> None:
    await bridge.tell(trigger, "submitted")
    await bridge.tell(trigger, "failed", error="A document failed.")


async def refuse(bridge: FakeBridge, trigger: PipelineTrigger) -> None:
    await bridge.tell(
        trigger, "error", error="There is no such pipeline.", available_pipelines=["a", "b"], submitted_at=""
    )


async def go_on(bridge: FakeBridge, trigger: PipelineTrigger) -> None:
    await bridge.tell(trigger, "submitted")
    await bridge.tell(trigger, "running")
    await bridge.cancelled.wait()
    await bridge.tell(trigger, "failed", error="The run was cancelled.")


StartBridge = Callable[[Play], Awaitable[FakeBridge]]


@pytest.fixture
def bridge(client: NatsConnection) -> StartBridge:
    """Starts a bridge that does what a test says."""

    async def start(play: Play) -> FakeBridge:
        made = FakeBridge(client, play)
        await made.start()
        return made

    return start


async def test_pipelines_are_listed_with_what_they_take(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(succeed)
    run = await fleet("pipelines")
    assert run.code == 0, run.err
    assert run.out.splitlines() == [
        "document-ingestion (local)",
        "  Puts documents in.",
        "    source-url    string, required  Where they are.",
        "    max-failures  integer = 0",
        "    mode          all|new = all",
        "",
        "rag-query (kubeflow)",
    ]
    only = await fleet("pipelines", "rag-query", "--json")
    assert [pipeline["name"] for pipeline in only.json] == ["rag-query"]
    unknown = await fleet("pipelines", "nothing")
    assert (unknown.code, unknown.err) == (
        1,
        "fleet: There is no pipeline 'nothing'. There are: document-ingestion, rag-query.\n",
    )


async def test_without_a_bridge_there_is_no_list(fleet: Fleet, client: NatsConnection) -> None:
    run = await fleet("pipelines")
    assert run.code == 4
    assert "No pipeline-bridge answers" in run.err


async def test_a_trigger_ends_when_the_run_is_submitted(fleet: Fleet, bridge: StartBridge) -> None:
    made = await bridge(go_on)
    run = await fleet(
        "trigger", "document-ingestion", "-p", "source-url=file:///a=b", "-p", "mode=", "--request-id", "r1"
    )
    assert run.code == 0, run.err
    assert run.out == "document-ingestion  submitted\n"
    assert "fleet runs r1 --follow" in run.err
    [trigger] = made.triggers
    assert trigger == PipelineTrigger("r1", "document-ingestion", {"source-url": "file:///a=b", "mode": ""})


async def test_a_run_is_followed_to_its_end(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(succeed)
    run = await fleet("trigger", "document-ingestion", "--follow")
    assert run.code == 0, run.err
    lines = run.out.splitlines()
    assert [line.split("  ")[1] for line in lines if "1/2" not in line] == [
        *("submitted", "pending", "running", "succeeded")
    ]
    assert lines[-1] == ("document-ingestion  succeeded  2/2  12.5 s  2 documents.  report: s3://bucket/report.json")


async def test_json_is_a_status_a_line(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(succeed)
    run = await fleet("trigger", "rag-query", "-f", "--json", "--request-id", "r2")
    last = json.loads(run.out.splitlines()[-1])
    assert (last["status"], last["request_id"], last["artifacts"][0]["uri"]) == (
        *("succeeded", "r2", "s3://bucket/report.json"),
    )


async def test_progress_does_not_go_back(fleet: Fleet, bridge: StartBridge) -> None:
    """A step that was killed counts from its start again."""

    async def restart(made: FakeBridge, trigger: PipelineTrigger) -> None:
        await made.tell(trigger, "submitted")
        await made.tell(trigger, "running")
        for told in ("2/4", "1/4", "2/4", "3/4", "1/2"):
            await made.progress(trigger, told)
        await made.tell(trigger, "succeeded", progress="2/2")

    await bridge(restart)
    run = await fleet("trigger", "rag-query", "-f", "--json")
    shown = [json.loads(line)["progress"] for line in run.out.splitlines()]
    kept = [progress for progress in shown if progress]
    assert kept[-1] == "2/2"
    assert "1/4" not in kept
    assert len(kept) == len(set(kept))


async def test_a_run_that_fails_fails_the_command(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(fail_it)
    run = await fleet("trigger", "rag-query", "-f")
    assert run.code == 1
    assert run.out.splitlines()[-1] == "rag-query  failed  A document failed."
    assert (await fleet("trigger", "rag-query")).code == 0


async def test_a_refusal_names_what_there_is(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(refuse)
    run = await fleet("trigger", "nothing")
    assert run.code == 1
    assert run.out == "nothing  error  There is no such pipeline.  There are: a, b.\n"


async def test_nobody_takes_the_trigger(fleet: Fleet, client: NatsConnection) -> None:
    run = await fleet("trigger", "rag-query")
    assert run.code == 4
    assert "No stream takes triggers yet" in run.err
    await StreamManager(client).ensure((AI_PIPELINE,))
    run = await fleet("trigger", "rag-query", "--timeout", "0.3", "--request-id", "r3")
    assert run.code == 4
    assert "It is kept, and is run when one does; see: fleet runs r3" in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("trigger",),
        ("trigger", "a", "-p", "b"),
        ("trigger", "a", "-p", "=b"),
        ("trigger", "a", "-p", "b=1", "-p", "b=2"),
        ("trigger", "a", "--request-id", "a.b"),
        ("runs", "a b"),
        ("runs", "--follow"),
        ("runs", "--cancel"),
        ("runs", "r1", "--pipeline", "a"),
        ("runs", "--status", "done"),
        ("runs", "r1", "--archived", "--follow"),
        ("runs", "r1", "--archived", "--cancel"),
        ("runs", "a b", "--archived"),
    ],
)
async def test_what_is_typed_wrong(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    assert (await fleet(*arguments)).code == 2


async def test_runs_are_listed_and_chosen(fleet: Fleet, bridge: StartBridge, client: NatsConnection) -> None:
    assert (await fleet("runs")).out == "No runs.\n"
    made = await bridge(succeed)
    for number, (pipeline, status) in enumerate(
        [("document-ingestion", "succeeded"), ("rag-query", "failed"), ("rag-query", "running")]
    ):
        trigger = PipelineTrigger(f"r{number}", pipeline)
        await made.tell(trigger, "submitted")
        await made.tell(trigger, status)
    await client.jetstream_publish(PIPELINE_STATUS.format(request_id="odd"), b"\xff")
    run = await fleet("runs")
    assert run.code == 0, run.err
    assert [line for line in ("r0", "r1", "r2") if line in run.out] == ["r0", "r1", "r2"]
    for options, wanted in [
        (("--pipeline", "rag-query"), ["r1", "r2"]),
        (("--status", "failed"), ["r1"]),
        (("-n", "2"), ["r1", "r2"]),
        (("-n", "0"), ["r0", "r1", "r2"]),
    ]:
        rows = (await fleet("runs", "--json", *options)).out.splitlines()
        assert [json.loads(row)["request_id"] for row in rows] == wanted


async def test_the_history_of_a_run(fleet: Fleet, bridge: StartBridge) -> None:
    await bridge(succeed)
    await fleet("trigger", "rag-query", "-f", "--request-id", "r4")
    run = await fleet("runs", "r4")
    assert run.code == 0
    assert [line.split("  ")[2] for line in run.out.splitlines()] == ["submitted", "pending", "running", "succeeded"]
    assert run.out.startswith("2026-01-02 03:04:06  rag-query")
    followed = await fleet("runs", "r4", "--follow", "--json")
    assert json.loads(followed.out.splitlines()[-1])["status"] == "succeeded"
    missing = await fleet("runs", "r5")
    assert (missing.code, missing.err) == (1, "fleet: There is no run of request r5.\n")


async def test_archived_runs_are_listed_and_chosen(
    offline: Fleet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_URL", f"sqlite:///{folder}/archive.db")
    away = await offline("runs", "--archived")
    assert (away.code, "Check ARCHIVE_URL=" in away.err) == (1, True)
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    archive = Archive(f"sqlite:///{folder}/archive.db")
    await archive.open()
    assert (await offline("runs", "--archived")).out == "No runs.\n"
    for number, (pipeline, status) in enumerate(
        [("document-ingestion", RunState.SUCCEEDED), ("rag-query", RunState.FAILED), ("rag-query", RunState.RUNNING)]
    ):
        run = PipelineRun(
            request_id=f"r{number}",
            status=status,
            submitted_at=noon + timedelta(hours=number),
            pipeline=pipeline,
            parameters={"top-k": number},
            finished_at=noon + timedelta(hours=number, seconds=90) if status.final else None,
            error="The step embed failed." if status is RunState.FAILED else "",
        )
        await archive.store_run(run)
    await archive.close()
    shown = await offline("runs", "--archived")
    assert shown.code == 0, shown.err
    lines = [line for line in shown.out.splitlines() if "2026-01-02" in line]
    assert ["r0" in lines[0], "r1" in lines[1], "r2" in lines[2]] == [True] * 3
    assert all(part in lines[1] for part in ("rag-query", "failed", "13:00:00", "The step embed failed."))
    for options, wanted in [
        (("--pipeline", "rag-query"), ["r1", "r2"]),
        (("--status", "failed"), ["r1"]),
        (("-n", "2"), ["r1", "r2"]),
        (("-n", "0"), ["r0", "r1", "r2"]),
        (("r2",), ["r2"]),
    ]:
        rows = (await offline("runs", "--archived", "--json", *options)).out.splitlines()
        assert [json.loads(row)["request_id"] for row in rows] == wanted
    one = json.loads((await offline("runs", "r1", "--archived", "--json")).out)
    assert (one["submitted_at"], one["parameters"]) == ("2026-01-02T13:00:00Z", {"top-k": 1})
    missing = await offline("runs", "r5", "--archived")
    assert (missing.code, missing.err) == (1, "fleet: There is no run of request r5 in the archive.\n")


async def test_a_run_is_cancelled(fleet: Fleet, bridge: StartBridge) -> None:
    made = await bridge(go_on)
    await fleet("trigger", "rag-query", "--request-id", "r6")
    run = await fleet("runs", "r6", "--cancel")
    assert run.code == 0, run.err
    assert made.cancelled.is_set()
    assert run.out.splitlines()[-1] == "rag-query  failed  The run was cancelled."
    assert "it has ended already" in (await fleet("runs", "r6", "--cancel")).err


async def test_interrupting_leaves_the_run_alone(spawn: Spawn, bridge: StartBridge) -> None:
    made = await bridge(go_on)
    process = await spawn("trigger", "rag-query", "-f", "--request-id", "r7")
    assert process.stdout is not None
    while b"running" not in await asyncio.wait_for(process.stdout.readline(), 20):
        pass
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert errors == b"fleet: the run goes on; see: fleet runs r7 --follow, or --cancel\n"
    assert not made.cancelled.is_set()


async def test_on_a_terminal_a_bar_shows_how_far_it_is(own_nats: NatsServer, bridge: StartBridge, folder: Path) -> None:
    shown = asyncio.Event()

    async def wait_for_the_bar(made: FakeBridge, trigger: PipelineTrigger) -> None:
        await made.tell(trigger, "submitted")
        await made.tell(trigger, "running")
        await made.progress(trigger, "120/300")
        await shown.wait()
        await made.tell(trigger, "succeeded", message="All in.")

    await bridge(wait_for_the_bar)
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "handler_base.cli", "--nats-url", own_nats.url, "trigger", "rag-query", "-f"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=follower,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(follower)
    os.set_blocking(leader, False)
    screen = bytearray()

    def read() -> bool:
        try:
            screen.extend(os.read(leader, 65536))
        except BlockingIOError:
            return False
        return b"120/300" in screen and "━".encode() in screen

    try:
        await wait_until(read, timeout=20)
        shown.set()
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    finally:
        os.close(leader)
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert out == b"rag-query  succeeded  All in.\n"
