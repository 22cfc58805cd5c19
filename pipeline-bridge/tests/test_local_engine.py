"""The local engine: steps as processes."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import psutil
import pytest

from handler_base.handler import Service
from handler_base.testing.waiting import wait_until
from pipeline_bridge.testing import PipelineCaller

StartBridge = Callable[..., Awaitable[Service]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A line in it lets the step do a part."""
    path = tmp_path / "lines"
    path.touch()
    return path


@pytest.fixture
def go(file: Path) -> Callable[[], None]:
    """Let the step do another part."""

    def add_line() -> None:
        with file.open("a") as lines:
            lines.write("go\n")

    return add_line


def steps() -> list[psutil.Process]:
    """The steps that run."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "pipeline_bridge.steps" in child.cmdline():
                found.append(child)
    return found


async def test_a_run_is_told_from_its_trigger_to_its_end(bridge: PipelineCaller) -> None:
    request_id = await bridge.trigger("here", parts="3")
    await bridge.ended(request_id)
    assert bridge.said(request_id) == ["submitted", "pending", "running", "succeeded"]
    told = (await bridge.history(request_id))[-1]
    assert (told.engine, told.progress, told.message) == ("local", "3/3", "part 3")
    assert [made.uri for made in told.artifacts] == ["s3://results/report.json"]


async def test_a_step_is_told_once_and_its_parts_as_parts(
    bridge: PipelineCaller, file: Path, go: Callable[[], None]
) -> None:
    request_id = await bridge.trigger("here", file=str(file), parts="2")

    async def told() -> list[Mapping[str, object]]:
        return [event.data for event in await bridge.events() if event.name == "step_completed"]

    go()
    await wait_until(told)
    go()
    await bridge.ended(request_id)

    async def ended() -> bool:
        return any(event.name == "run_completed" for event in await bridge.events())

    await wait_until(ended)
    *parts, whole = await told()
    assert all(data["part"] is True and "step" not in data for data in parts)
    assert "part" not in whole
    assert whole["succeeded"] is True


async def test_a_step_that_fails_says_why(bridge: PipelineCaller) -> None:
    request_id = await bridge.trigger("here", fail="true")
    assert (await bridge.until(request_id, "failed")).error == "The parts do not add up."


async def test_a_step_that_is_killed_is_started_again(
    bridge: PipelineCaller, file: Path, go: Callable[[], None]
) -> None:
    request_id = await bridge.trigger("here", file=str(file), parts="1")
    await bridge.until(request_id, "running")
    await wait_until(steps)
    first = steps()[0]
    first.kill()
    await wait_until(lambda: any(step.pid != first.pid for step in steps()))
    go()
    await bridge.ended(request_id)
    assert bridge.said(request_id) == ["submitted", "pending", "running", "succeeded"]


async def test_a_cancelled_run_ends_its_process(bridge: PipelineCaller, file: Path) -> None:
    request_id = await bridge.trigger("here", file=str(file))
    await bridge.until(request_id, "running")
    await wait_until(steps)
    await bridge.cancel(request_id)
    assert (await bridge.until(request_id, "failed")).error == "The run was cancelled."
    assert not steps()


async def test_what_waits_for_a_slot_is_pending_and_can_be_cancelled(
    start: StartBridge, caller: PipelineCaller, file: Path, go: Callable[[], None]
) -> None:
    await start(local_runs=1)
    first = await caller.trigger("here", file=str(file), parts="1")
    await caller.until(first, "running")
    second, third = await caller.trigger("here"), await caller.trigger("here")
    await caller.until(second, "pending")
    await caller.until(third, "pending")
    await caller.cancel(second)
    assert (await caller.until(second, "failed")).error == "The run was cancelled."
    assert caller.said(second) == ["submitted", "pending", "failed"]
    go()
    await caller.ended(first, third)
    assert caller.said(third)[-1] == "succeeded"


async def test_a_step_does_not_see_the_secrets_of_the_bridge(
    start: StartBridge, caller: PipelineCaller, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGO_TOKEN", "secret")
    await start()
    await caller.until(await caller.trigger("here", file=str(file)), "running")
    await wait_until(steps)
    assert "ARGO_TOKEN" not in steps()[0].environ()
