from __future__ import annotations

import asyncio

import pytest

from handler_base.handler.running import RunningRequests


@pytest.fixture
async def task() -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.Event().wait(), name="never")  # type: ignore[arg-type]  # bool is not used


async def test_cancels_what_runs_under_an_id(task: asyncio.Task[object]) -> None:
    running = RunningRequests()
    assert running.add("r1", task)
    assert running.cancel("r1") == 1
    await asyncio.wait([task])
    assert task.cancelled()
    assert running.was_cancelled(task)


async def test_another_id_is_left_alone(task: asyncio.Task[object]) -> None:
    running = RunningRequests()
    running.add("r1", task)
    assert running.cancel("r2") == 0
    assert not running.was_cancelled(task)
    task.cancel()


async def test_a_cancel_that_overtakes_its_request_still_counts(task: asyncio.Task[object]) -> None:
    running = RunningRequests()
    running.cancel("r1")
    assert not running.add("r1", task)
    running.discard("r1", task)
    assert running.add("r1", task), "it counts once"
    task.cancel()


async def test_early_cancels_are_bounded(task: asyncio.Task[object]) -> None:
    running = RunningRequests()
    for number in range(5000):
        running.cancel(f"r{number}")
    assert running.add("r0", task), "the oldest was forgotten"
    task.cancel()


async def test_nothing_is_left_behind(task: asyncio.Task[object]) -> None:
    running = RunningRequests()
    running.add("r1", task)
    assert len(running) == 1
    running.discard("r1", task)
    running.discard("r1", task)
    assert len(running) == 0
    task.cancel()
