"""From a trigger to the final status: each once, in order, whatever is triggered and however often."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgpack
import pytest

from handler_base.config import ArchiveSettings
from handler_base.handler import Service
from handler_base.messages import Encoding, PipelineStatus, PipelineTrigger, decode, detect, encode
from handler_base.messages.subjects import PIPELINE_TRIGGER
from handler_base.nats_client import Msg
from handler_base.sessions.archive import Archive, ArchiveWorker
from handler_base.testing.waiting import wait_until
from pipeline_bridge.testing import FakeArgo, FakeKubeflow, PipelineCaller

StartBridge = Callable[..., Awaitable[Service]]

WHOLE = ["submitted", "pending", "running", "succeeded"]


async def submitted(argo: FakeArgo, number: int = 1) -> list[str]:
    """Wait for workflows; return their names, oldest first."""
    await wait_until(lambda: len(argo.workflows) >= number)
    return list(argo.workflows)


async def test_a_run_is_told_from_its_trigger_to_its_end(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id = await bridge.trigger("one", source_url="s3://docs/new")
    (name,) = await submitted(argo)
    await bridge.until(request_id, "pending")
    argo.put(name, "Running", progress="0/2")
    await bridge.until(request_id, "running")
    argo.put(name, "Running", progress="1/2")
    argo.put(name, "Succeeded", progress="2/2")
    await bridge.ended(request_id)
    history = await bridge.history(request_id)
    assert [told.status for told in history] == WHOLE
    first, last = history[0], history[-1]
    assert (first.pipeline, first.engine, first.run_id) == ("one", "argo", name)
    assert first.submitted_at.endswith("Z")
    assert first.submitted_at == last.submitted_at
    assert last.progress == "2/2"
    assert last.finished_at >= last.submitted_at
    assert {told.run_id for told in history} == {name}


async def test_statuses_that_were_missed_are_told_all_the_same(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id = await bridge.trigger("one", source_url="x")
    (name,) = await submitted(argo)
    argo.put(name, "Succeeded")
    await bridge.ended(request_id)
    assert [told.status for told in await bridge.history(request_id)] == WHOLE


async def test_the_same_request_twice_starts_one_run(bridge: PipelineCaller, argo: FakeArgo) -> None:
    await asyncio.gather(*(bridge.trigger("one", "same", source_url="x") for _ in range(5)))
    (name,) = await submitted(argo)
    argo.put(name, "Succeeded")
    await bridge.ended("same")
    await bridge.trigger("one", "same", source_url="x")
    other = await bridge.trigger("one", source_url="x")
    await bridge.until(other, "pending")
    assert len(argo.workflows) == 2
    assert [told.status for told in await bridge.history("same")] == WHOLE


async def test_an_unknown_pipeline_is_told_with_those_there_are(bridge: PipelineCaller) -> None:
    request_id = await bridge.trigger("three")
    told = await bridge.until(request_id, "error")
    assert told.available_pipelines == ["here", "one", "two"]
    assert told.error == "There is no such pipeline."
    assert bridge.said(request_id) == ["error"]


async def test_after_an_error_the_request_may_be_made_right(bridge: PipelineCaller, argo: FakeArgo) -> None:
    await bridge.trigger("one", "again")
    told = await bridge.until("again", "error")
    assert told.error == "Pipeline one needs parameter source-url."
    await bridge.trigger("one", "again", source_url="x")
    await submitted(argo)
    await bridge.until("again", "pending")
    assert bridge.said("again") == ["error", "submitted", "pending"]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"source_url": "x", "other": "y"}, "no such parameter"),
        ({"source_url": "x", "top_k": "many"}, "must be an integer"),
        ({"source_url": "x", "top_k": "7"}, "must be one of: 1, 5, 10"),
        ({"source_url": "x", "deep": "perhaps"}, "must be a boolean"),
        ({"source_url": "x" * 201}, "longer than 200"),
        ({"source_url": "{{workflow.name}}"}, "characters that it may not have"),
        ({"source_url": "$(NATS_PASSWORD)"}, "characters that it may not have"),
        ({"source_url": "a\x00b"}, "characters that it may not have"),
    ],
)
async def test_a_parameter_that_is_not_allowed_starts_nothing(
    bridge: PipelineCaller, argo: FakeArgo, parameters: dict[str, str], complaint: str
) -> None:
    request_id = await bridge.trigger("one", **parameters)
    told = await bridge.until(request_id, "error")
    assert complaint in told.error
    assert not argo.workflows


async def test_parameters_reach_argo_with_their_defaults(bridge: PipelineCaller, argo: FakeArgo) -> None:
    await bridge.trigger("one", source_url="a=b; rm -rf / 'x'", deep="TRUE")
    (name,) = await submitted(argo)
    arguments = argo.workflows[name]["spec"]["arguments"]["parameters"]
    given = {each["name"]: each["value"] for each in arguments}
    assert given == {"source-url": "a=b; rm -rf / 'x'", "top-k": "5", "deep": "true"}


async def test_kubeflow_gets_typed_parameters(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    await bridge.trigger("two", top_k="3", share="2")
    await wait_until(lambda: kubeflow.runs)
    (run,) = kubeflow.runs.values()
    assert run["runtime_config"]["parameters"] == {"top-k": 3, "share": 2.0, "query": "hello"}


async def test_an_old_publisher_sends_numbers_and_booleans(bridge: PipelineCaller, argo: FakeArgo) -> None:
    parameters = {"source-url": "x", "top-k": 10, "deep": True}
    body = msgpack.packb({"request_id": "old", "pipeline": "one", "parameters": parameters})
    await bridge.client.jetstream_publish(PIPELINE_TRIGGER.template, body)
    (name,) = await submitted(argo)
    arguments = argo.workflows[name]["spec"]["arguments"]["parameters"]
    assert [each["value"] for each in arguments] == ["x", "10", "true"]


class Inbox:
    """A reply inbox: the stream's own acknowledgement comes there first."""

    def __init__(self, caller: PipelineCaller) -> None:
        self.subject = f"_INBOX.{uuid.uuid4().hex}"
        self.answers: asyncio.Queue[Msg] = asyncio.Queue()
        self._client = caller.client
        self._client.listen(self.subject, self.answers.put_nowait)

    async def ask(self, body: bytes) -> PipelineStatus:
        self._client.send(PIPELINE_TRIGGER.template, body, reply=self.subject)
        async with asyncio.timeout(5):
            while (msg := await self.answers.get()).data.startswith(b"{"):
                pass
        return decode(PipelineStatus, msg.data, detect(msg.data, (msg.headers or {}).get("Content-Type")))


async def test_a_question_is_answered_in_its_inbox(bridge: PipelineCaller) -> None:
    inbox = Inbox(bridge)
    trigger = PipelineTrigger(request_id="asked", pipeline="one", parameters={"source-url": "x"})
    told = await inbox.ask(encode(trigger, Encoding.PROTOBUF))
    assert (told.status, told.request_id) == ("submitted", "asked")
    assert (await inbox.ask(encode(trigger))).request_id == "asked"
    unknown = await inbox.ask(encode(PipelineTrigger(pipeline="three")))
    assert unknown.available_pipelines == ["here", "one", "two"]


async def test_a_question_without_an_id_is_told_the_id_that_was_made(bridge: PipelineCaller) -> None:
    told = await Inbox(bridge).ask(encode(PipelineTrigger(pipeline="one", parameters={"source-url": "x"})))
    assert uuid.UUID(told.request_id).version == 4
    await bridge.until(told.request_id, "pending")


async def test_every_question_has_one_answer_with_many_replicas(
    start: StartBridge, bridge: PipelineCaller, argo: FakeArgo
) -> None:
    await start()
    asked = [Inbox(bridge) for _ in range(10)]
    trigger = PipelineTrigger(pipeline="one", parameters={"source-url": "x"})
    for number, inbox in enumerate(asked):
        trigger.request_id = f"q{number}"
        assert (await inbox.ask(encode(trigger))).request_id == f"q{number}"
    await submitted(argo, 10)
    assert all(inbox.answers.empty() for inbox in asked)


async def test_a_question_that_cannot_be_read_is_refused(bridge: PipelineCaller) -> None:
    told = await Inbox(bridge).ask(b"\x81\xa8pipeline\x93\x01\x02\x03")
    assert told.status == "error"


async def test_the_events_of_the_contract_are_told(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id = await bridge.trigger("one", source_url="x")
    (name,) = await submitted(argo)
    artifact = {"name": "report", "s3": {"bucket": "results", "key": "a/report.json"}}
    node = {"displayName": "embed", "type": "Pod", "phase": "Running"}
    argo.put(name, "Running", nodes={"n1": dict(node)})
    await bridge.until(request_id, "running")
    argo.put(name, "Succeeded", nodes={"n1": {**node, "phase": "Succeeded", "outputs": {"artifacts": [artifact]}}})
    await bridge.ended(request_id)

    async def told() -> bool:
        return len(await bridge.events()) >= 6

    await wait_until(told)
    events = await bridge.events()
    assert [event.name for event in events] == [
        *("trigger_received", "run_created", "step_started", "step_completed", "artifact_produced", "run_completed")
    ]
    assert {event.request_id for event in events} == {request_id}
    assert events[4].data["uri"] == "s3://results/a/report.json"
    final = (await bridge.history(request_id))[-1]
    created = {
        "run_id": name,
        "pipeline": "one",
        "engine": "argo",
        "submitted_at": final.submitted_at,
        "parameters": '{"source-url":"x","top-k":5,"deep":false}',
    }
    assert events[1].data == created
    assert events[5].data == created | {"status": "succeeded", "error": "", "finished_at": final.finished_at}
    assert [(made.name, made.type, made.uri) for made in final.artifacts] == [
        ("embed/report", "metrics", "s3://results/a/report.json")
    ]


async def test_the_archive_keeps_what_becomes_of_a_run(bridge: PipelineCaller, argo: FakeArgo, tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path}/archive.db")
    worker = ArchiveWorker(bridge.client, archive, ArchiveSettings())
    await worker.start()
    try:
        request_id = await bridge.trigger("one", source_url="x")
        refused = await bridge.trigger("three")
        (name,) = await submitted(argo)
        argo.put(name, "Running", nodes={"n1": {"displayName": "embed", "type": "Pod", "phase": "Running"}})
        await bridge.until(request_id, "running")
        await bridge.cancel(request_id)
        final = await bridge.until(request_id, "failed")
        await bridge.until(refused, "error")

        async def archived() -> bool:
            return worker.healthy and [run.status for run in await archive.runs()] == ["failed"]

        await wait_until(archived)
        (run,) = await archive.runs()
    finally:
        await worker.stop(timedelta(seconds=1))
        await archive.close()
    assert (run.request_id, run.run_id, run.pipeline, run.engine) == (request_id, name, "one", "argo")
    assert (run.error, run.parameters) == ("The run was cancelled.", {"source-url": "x", "top-k": 5, "deep": False})
    assert run.submitted_at == datetime.fromisoformat(final.submitted_at)
    assert run.finished_at == datetime.fromisoformat(final.finished_at)
    assert run.started_at is not None
    assert run.submitted_at <= run.started_at <= run.finished_at


async def test_a_cancelled_run_is_stopped_and_fails(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id = await bridge.trigger("one", source_url="x")
    (name,) = await submitted(argo)
    argo.put(name, "Running")
    await bridge.until(request_id, "running")
    await bridge.cancel(request_id)
    told = await bridge.until(request_id, "failed")
    assert told.error == "The run was cancelled."
    assert argo.stopped == [name]


async def test_a_cancel_may_overtake_its_trigger(bridge: PipelineCaller, argo: FakeArgo) -> None:
    await bridge.cancel("early")
    await bridge.trigger("one", "early", source_url="x")
    assert (await bridge.until("early", "failed")).error == "The run was cancelled."
    assert not argo.workflows
    assert bridge.said("early") == ["submitted", "failed"]


async def test_a_run_that_takes_too_long_is_stopped(
    start: StartBridge, write_table: Callable[[str], None], caller: PipelineCaller, argo: FakeArgo
) -> None:
    write_table("pipelines: {one: {engine: argo, argo: {template: one-template}, timeout: 1}}")
    await start()
    request_id = await caller.trigger("one")
    assert (await caller.until(request_id, "failed")).error == "The run took longer than it may."
    assert argo.stopped == list(argo.workflows)
