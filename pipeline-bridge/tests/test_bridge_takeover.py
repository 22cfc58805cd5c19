"""Bridges that die: the runs go on, each followed by one replica, each status told once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from handler_base.messages import DomainEvent, encode
from handler_base.messages.subjects import PIPELINE_STATUS
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until
from pipeline_bridge.testing import FakeArgo, FakeKubeflow, PipelineCaller

WHOLE = ["submitted", "pending", "running", "succeeded"]
StartProcess = Callable[[], ServiceProcess]


@pytest.fixture
async def process(nats: NatsServer, argo: FakeArgo, kubeflow: FakeKubeflow, table: Path) -> AsyncIterator[StartProcess]:
    """Make bridges that run as processes of their own, not started yet."""
    async with AsyncExitStack() as stack:

        def make() -> ServiceProcess:
            environment = {
                "NATS_URL": nats.url,
                # After that a trigger goes to another bridge, when the one that had it was killed before it began.
                "ACK_WAIT": "2",
                "ARGO_HOST": argo.url,
                "KUBEFLOW_HOST": kubeflow.url,
                "PIPELINES_FILE": str(table),
                "PYTHONPATH": str(Path(__file__).parent),
            }
            made = ServiceProcess("pipeline_bridge", environment)
            stack.push_async_callback(made.kill)
            return made

        yield make


async def histories(caller: PipelineCaller, request_ids: list[str]) -> dict[str, list[str]]:
    """Return what the stream has of runs where that is not the whole, ordered, single history."""
    found = {request_id: [told.status for told in await caller.history(request_id)] for request_id in request_ids}
    return {request_id: told for request_id, told in found.items() if told != WHOLE}


async def test_a_killed_bridge_goes_on_when_it_is_started_again(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo, kubeflow: FakeKubeflow, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.touch()
    bridge = await process().start()
    started = [await caller.trigger("one", source_url="x") for _ in range(5)]
    started += [await caller.trigger("two"), await caller.trigger("here", file=str(lines), parts="1")]
    for request_id in started:
        await caller.until(request_id, "pending")
    for name in argo.workflows:
        argo.put(name, "Running")
    for request_id in (*started[:5], started[-1]):
        await caller.until(request_id, "running")
    await bridge.kill()
    for name in list(argo.workflows):
        argo.put(name, "Succeeded")
    (run_id,) = kubeflow.runs
    kubeflow.put(run_id, "SUCCEEDED")
    await asyncio.to_thread(lines.write_text, "go\n")
    await process().start()
    await caller.ended(*started)
    assert await histories(caller, started) == {}
    assert (len(argo.workflows), len(kubeflow.runs)) == (5, 1)


async def test_a_replica_that_stops_hands_its_runs_over(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo
) -> None:
    first = await process().start()
    request_id = await caller.trigger("one", source_url="x")
    await caller.until(request_id, "pending")
    await process().start()
    assert await first.terminate() == 0
    assert "Traceback" not in first.log
    (name,) = argo.workflows
    argo.put(name, "Running")
    await caller.until(request_id, "running", timeout=4)


async def test_a_frozen_replica_repeats_nothing_when_it_wakes(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo
) -> None:
    first = await process().start()
    request_id = await caller.trigger("one", source_url="x")
    await caller.until(request_id, "pending")
    first.send(signal.SIGSTOP)
    await process().start()
    (name,) = argo.workflows
    argo.put(name, "Running")
    await caller.until(request_id, "running")
    first.send(signal.SIGCONT)
    argo.put(name, "Succeeded")
    await caller.ended(request_id)
    await wait_until(lambda: "another replica follows the run" in first.log, timeout=10)
    assert caller.said(request_id) == WHOLE


async def test_an_end_whose_event_did_not_leave_is_told_by_the_next(
    process: StartProcess, caller: PipelineCaller
) -> None:
    first = await process().start()
    request_id = await caller.trigger("one", source_url="x")
    told = await caller.until(request_id, "pending")
    await first.kill()
    # As a bridge does that is killed right after it: the last status is in the stream, and nothing else.
    told.status, told.error, told.finished_at = "failed", "It broke.", "2030-01-02T03:04:05.000Z"
    await caller.client.jetstream_publish(PIPELINE_STATUS.format(request_id=request_id), encode(told))
    await process().start()

    async def ends() -> list[DomainEvent]:
        return [event for event in await caller.events() if event.name == "run_completed"]

    await wait_until(ends, timeout=10)
    (end,) = await ends()
    assert (end.request_id, end.id) == (request_id, f"-/{request_id}/run_completed")
    known = {name: end.data[name] for name in ("status", "error", "finished_at", "submitted_at", "run_id")}
    assert known == {
        "status": "failed",
        "error": "It broke.",
        "finished_at": told.finished_at,
        "submitted_at": told.submitted_at,
        "run_id": told.run_id,
    }


@pytest.mark.faults
async def test_a_run_is_cancelled_while_its_bridge_is_dead(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo
) -> None:
    first = await process().start()
    request_id = await caller.trigger("one", source_url="x")
    await caller.until(request_id, "pending")
    second = process()
    await first.kill()
    await second.start()
    # Again and again: whether it comes before or after the take-over is all the same.
    while "failed" not in caller.said(request_id):
        await caller.cancel(request_id)
        await asyncio.sleep(0.1)
    assert argo.stopped == list(argo.workflows)


async def drive(argo: FakeArgo, seed: int) -> None:
    """Take every workflow from phase to phase, for ever."""
    chance = random.Random(seed)
    following = {"": "Pending", "Pending": "Running", "Running": "Succeeded"}
    while True:
        open_ones = [
            name for name, workflow in argo.workflows.items() if workflow["status"].get("phase", "") in following
        ]
        for name in chance.sample(open_ones, min(len(open_ones), 5)):
            argo.put(name, following[argo.workflows[name]["status"].get("phase", "")])
        await asyncio.sleep(0.02)


async def kill_again_and_again(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo, *, runs: int, kills: int
) -> None:
    """Have runs go on while the bridge is killed, at whatever moment that is."""
    chance = random.Random(7)
    driver = asyncio.create_task(drive(argo, 11))
    started: list[str] = []
    for _ in range(kills):
        bridge = await process().start()
        started += [await caller.trigger("one", source_url="x") for _ in range(runs // kills)]
        await asyncio.sleep(chance.uniform(0.0, 0.8))
        await bridge.kill()
    await process().start()
    await caller.ended(*started, timeout=120)
    driver.cancel()
    assert await histories(caller, started) == {}
    assert len(argo.workflows) == len(started)
    # Who listens hears each once as well.
    assert {request_id: caller.said(request_id) for request_id in started if caller.said(request_id) != WHOLE} == {}


async def test_no_status_is_lost_or_told_twice_when_bridges_are_killed(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo
) -> None:
    await kill_again_and_again(process, caller, argo, runs=10, kills=2)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_200_runs_have_their_history_over_20_kills(
    process: StartProcess, caller: PipelineCaller, argo: FakeArgo
) -> None:
    await kill_again_and_again(process, caller, argo, runs=200, kills=20)
