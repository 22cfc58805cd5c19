"""Argo as it fails: refusals, cut and forgotten watches, runs that vanish, pages."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from handler_base.handler import Service
from handler_base.testing.waiting import wait_until
from pipeline_bridge.testing import Failure, FakeArgo, PipelineCaller

StartBridge = Callable[..., Awaitable[Service]]

WHOLE = ["submitted", "pending", "running", "succeeded"]


async def running(bridge: PipelineCaller, argo: FakeArgo) -> tuple[str, str]:
    """Start a run; return its request and its workflow."""
    known = set(argo.workflows)
    request_id = await bridge.trigger("one", source_url="x")
    await bridge.until(request_id, "pending")
    (name,) = set(argo.workflows) - known
    argo.put(name, "Running")
    await bridge.until(request_id, "running")
    return request_id, name


async def test_all_runs_are_followed_by_one_watch(bridge: PipelineCaller, argo: FakeArgo) -> None:
    started = [await running(bridge, argo) for _ in range(5)]
    assert argo.watches == 1
    assert argo.count("GET", "/workflow-events/") == 1
    for _, name in started:
        argo.put(name, "Succeeded")
    await bridge.ended(*(request_id for request_id, _ in started))
    await wait_until(lambda: argo.watches == 0)


async def test_a_cut_watch_goes_on_from_where_it_was(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id, name = await running(bridge, argo)
    lists = argo.count("GET", "/workflows/ai-ml")
    argo.cut()
    argo.put(name, "Succeeded")
    await bridge.ended(request_id)
    assert bridge.said(request_id) == WHOLE
    assert argo.count("GET", "/workflows/ai-ml") == lists


async def test_a_watch_from_a_forgotten_version_begins_with_a_list(bridge: PipelineCaller, argo: FakeArgo) -> None:
    first, one = await running(bridge, argo)
    second, other = await running(bridge, argo)
    await argo.stop()
    argo.put(one, "Succeeded")
    argo.forget()
    await argo.start()
    await bridge.ended(first)
    argo.put(other, "Failed", message="secret-address.internal refused")
    told = await bridge.until(second, "failed")
    assert told.error == "The workflow failed."


async def test_a_run_that_is_deleted_has_failed(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id, name = await running(bridge, argo)
    argo.delete(name)
    assert (await bridge.until(request_id, "failed")).error == "The run was deleted from Argo."


async def test_a_run_that_is_deleted_unseen_has_failed(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id, name = await running(bridge, argo)
    argo.delete(name, unseen=True)
    argo.forget()
    argo.cut()
    assert (await bridge.until(request_id, "failed")).error == "The run was deleted from Argo."


async def test_a_finished_workflow_that_is_cleaned_up_has_not_failed(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id, name = await running(bridge, argo)
    argo.put(name, "Succeeded")
    argo.delete(name)
    await bridge.ended(request_id)
    assert bridge.said(request_id) == WHOLE


async def test_a_list_has_pages(bridge: PipelineCaller, argo: FakeArgo) -> None:
    argo.page = 2
    started = [await running(bridge, argo) for _ in range(5)]
    argo.forget()
    argo.cut()
    for _, name in started:
        argo.put(name, "Succeeded")
    await bridge.ended(*(request_id for request_id, _ in started))


async def test_a_missing_template_fails_the_run(bridge: PipelineCaller, argo: FakeArgo) -> None:
    argo.templates.clear()
    request_id = await bridge.trigger("one", source_url="x")
    told = await bridge.until(request_id, "failed")
    assert told.error == "Argo has no such template or run."
    assert bridge.said(request_id) == ["submitted", "failed"]


@pytest.mark.parametrize("status", [500, 503, 429, 0])
async def test_a_failure_that_goes_by_starts_one_run(bridge: PipelineCaller, argo: FakeArgo, status: int) -> None:
    argo.failures.append(Failure("/submit", status))
    # This one was done before it failed: the next attempt finds that there is such a workflow.
    argo.failures.append(Failure("/submit", status, after=True))
    request_id = await bridge.trigger("one", source_url="x")
    await bridge.until(request_id, "pending")
    assert len(argo.workflows) == 1
    assert argo.count("POST", "/submit") == 3


async def test_a_workflow_of_the_same_name_that_is_not_ours_is_left_alone(
    bridge: PipelineCaller, argo: FakeArgo
) -> None:
    _, name = await running(bridge, argo)
    taken = f"one-template-{hashlib.sha256(b'taken').hexdigest()[:20]}"
    argo.workflows[taken] = {"metadata": {"name": taken, "labels": {}}, "status": {"phase": "Running"}}
    await bridge.trigger("one", "taken", source_url="x")
    assert (await bridge.until("taken", "failed")).error == "Argo has another workflow of that name."
    assert set(argo.workflows) == {name, taken}


async def test_a_forbidden_run_fails_and_a_token_that_is_not_known_is_waited_for(
    start: StartBridge, argo: FakeArgo, caller: PipelineCaller, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    service = await start(argo_token_path=str(token))
    argo.token = "new"
    request_id = await caller.trigger("one", source_url="x")
    await caller.until(request_id, "submitted")
    await wait_until(lambda: argo.count("POST", "/submit") >= 2)
    assert await _degraded(service) == ["argo"]
    token.write_text("new\n")
    await caller.until(request_id, "pending")
    argo.failures.append(Failure("/submit", 403))
    other = await caller.trigger("one", source_url="x")
    assert (await caller.until(other, "failed")).error == "Argo does not let the bridge do that."


async def test_an_engine_that_is_away_is_waited_for(start: StartBridge, argo: FakeArgo, caller: PipelineCaller) -> None:
    await start()
    await argo.stop()
    request_id = await caller.trigger("one", source_url="x")
    told = await caller.until(request_id, "submitted")
    assert told.run_id == ""
    await argo.start()
    assert (await caller.until(request_id, "pending")).run_id == next(iter(argo.workflows))


async def test_an_engine_that_stays_away_fails_the_run(
    start: StartBridge, argo: FakeArgo, caller: PipelineCaller
) -> None:
    await start(submit_timeout=0.2)
    await argo.stop()
    request_id = await caller.trigger("one", source_url="x")
    assert (await caller.until(request_id, "failed")).error == "Argo cannot be reached right now."


async def test_a_cancel_waits_for_an_engine_that_is_away(bridge: PipelineCaller, argo: FakeArgo) -> None:
    request_id, name = await running(bridge, argo)
    argo.failures.append(Failure("/stop", 503, times=2))
    await bridge.cancel(request_id)
    assert (await bridge.until(request_id, "failed")).error == "The run was cancelled."
    assert argo.stopped == [name]


async def _degraded(service: Service) -> list[str]:
    url = f"http://127.0.0.1:{service.health_port}/ready"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return sorted((await answer.json())["degraded"])
