"""Kubeflow Pipelines as it is: found and pinned versions, pages, refusals, runs that vanish."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import pytest

from handler_base.handler import Service
from pipeline_bridge.testing import Failure, FakeKubeflow, PipelineCaller

StartBridge = Callable[..., Awaitable[Service]]

WHOLE = ["submitted", "pending", "running", "succeeded"]


async def started(bridge: PipelineCaller, kubeflow: FakeKubeflow, pipeline: str = "two") -> tuple[str, str]:
    """Start a run; return its request and its id."""
    known = set(kubeflow.runs)
    request_id = await bridge.trigger(pipeline)
    await bridge.until(request_id, "pending")
    (run_id,) = set(kubeflow.runs) - known
    return request_id, run_id


async def test_a_run_is_told_from_its_trigger_to_its_end(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    request_id, run_id = await started(bridge, kubeflow)
    kubeflow.put(run_id, "RUNNING", {"load": "SUCCEEDED", "embed": "RUNNING"})
    await bridge.until(request_id, "running")
    kubeflow.put(run_id, "SUCCEEDED", {"load": "SUCCEEDED", "embed": "SUCCEEDED"})
    await bridge.ended(request_id)
    history = await bridge.history(request_id)
    assert [told.status for told in history] == WHOLE
    assert (history[-1].engine, history[-1].run_id, history[-1].progress) == ("kubeflow", run_id, "2/2")
    assert "load" in {event.data.get("step") for event in await bridge.events()}


async def test_the_newest_version_is_pinned(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    (pipeline,) = kubeflow.versions
    kubeflow.versions[pipeline].append((str(uuid.uuid4()), "second"))
    _, run_id = await started(bridge, kubeflow)
    reference = kubeflow.runs[run_id]["pipeline_version_reference"]
    assert reference == {"pipeline_id": pipeline, "pipeline_version_id": kubeflow.versions[pipeline][-1][0]}


async def test_a_named_version_is_looked_for_on_every_page(
    start: StartBridge, write_table: Callable[[str], None], caller: PipelineCaller, kubeflow: FakeKubeflow
) -> None:
    write_table("pipelines: {two: {engine: kubeflow, kubeflow: {pipeline: two-pipeline, version: first}}}")
    await start()
    kubeflow.page = 1
    (pipeline,) = kubeflow.versions
    kubeflow.versions[pipeline] += [(str(uuid.uuid4()), f"later-{number}") for number in range(3)]
    _, run_id = await started(caller, kubeflow)
    pinned = kubeflow.runs[run_id]["pipeline_version_reference"]["pipeline_version_id"]
    assert pinned == kubeflow.versions[pipeline][0][0]


async def test_runs_are_in_one_experiment_which_is_made(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    for _ in range(3):
        await started(bridge, kubeflow)
    (experiment,) = kubeflow.experiments.values()
    assert experiment["display_name"] == "pipeline-bridge"
    assert {run["experiment_id"] for run in kubeflow.runs.values()} == {experiment["experiment_id"]}


async def test_looking_at_many_runs_goes_through_the_pages(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    runs = [await started(bridge, kubeflow) for _ in range(5)]
    kubeflow.page = 2
    for _, run_id in runs:
        kubeflow.put(run_id, "RUNNING")
    for request_id, _ in runs:
        await bridge.until(request_id, "running")


@pytest.mark.parametrize(
    ("state", "error"),
    [("FAILED", "The run failed at: embed."), ("CANCELED", "The run was stopped in Kubeflow.")],
)
async def test_a_run_that_fails_says_where(
    bridge: PipelineCaller, kubeflow: FakeKubeflow, state: str, error: str
) -> None:
    request_id, run_id = await started(bridge, kubeflow)
    kubeflow.put(run_id, state, {"load": "SUCCEEDED", "embed": "FAILED"})
    assert (await bridge.until(request_id, "failed")).error == error


async def test_a_run_that_is_deleted_has_failed(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    request_id, run_id = await started(bridge, kubeflow)
    del kubeflow.runs[run_id]
    assert (await bridge.until(request_id, "failed")).error == "The run was deleted from Kubeflow."


@pytest.mark.parametrize("status", [401, 429, 500, 503, 0])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_failure_that_goes_by_starts_one_run(
    bridge: PipelineCaller, kubeflow: FakeKubeflow, status: int, after: bool
) -> None:
    kubeflow.failures.append(Failure("/runs", status, method="POST", after=after))
    await started(bridge, kubeflow)
    assert len(kubeflow.runs) == 1


async def test_failures_while_it_is_followed_are_bridged(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    request_id, run_id = await started(bridge, kubeflow)
    kubeflow.failures += [Failure("/runs", status, method="GET") for status in (401, 500, 0, 404)]
    kubeflow.put(run_id, "RUNNING")
    await bridge.until(request_id, "running")
    await kubeflow.stop()
    kubeflow.put(run_id, "SUCCEEDED")
    await kubeflow.start()
    await bridge.ended(request_id)
    assert bridge.said(request_id) == WHOLE


async def test_of_two_runs_for_a_request_the_later_is_terminated(
    bridge: PipelineCaller, kubeflow: FakeKubeflow
) -> None:
    kubeflow.doubles = True
    request_id = await bridge.trigger("two")
    told = await bridge.until(request_id, "pending")
    first, second = kubeflow.runs
    assert told.run_id == first
    assert kubeflow.terminated == [second]


async def test_an_unknown_pipeline_fails_the_run(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    kubeflow.pipelines.clear()
    request_id = await bridge.trigger("two")
    assert (await bridge.until(request_id, "failed")).error == "Kubeflow has no such template or run."


async def test_a_cancelled_run_is_terminated(bridge: PipelineCaller, kubeflow: FakeKubeflow) -> None:
    request_id, run_id = await started(bridge, kubeflow)
    kubeflow.put(run_id, "RUNNING")
    await bridge.until(request_id, "running")
    await bridge.cancel(request_id)
    assert (await bridge.until(request_id, "failed")).error == "The run was cancelled."
    assert kubeflow.terminated == [run_id]
