from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.errors import OverloadedError
from handler_base.handler.admission import Admission
from handler_base.testing.waiting import wait_until


async def waiting(admission: Admission, *, premium: bool = False, accepted: bool = False) -> asyncio.Task[None]:
    """Start a request that has to wait, and return once it does."""
    before = admission.waiting
    task = asyncio.create_task(admission.acquire(premium=premium, accepted=accepted))
    await wait_until(lambda: admission.waiting > before)
    return task


async def test_a_free_slot_is_taken_at_once() -> None:
    admission = Admission(2, 0)
    await admission.acquire()
    assert (admission.running, admission.free, admission.waiting) == (1, 1, 0)


async def test_beyond_the_queue_is_refused_with_a_hint() -> None:
    admission = Admission(1, 1)
    await admission.acquire()
    queued = await waiting(admission)
    with pytest.raises(OverloadedError) as refused:
        await admission.acquire()
    assert refused.value.retry_after is not None
    assert refused.value.retry_after.total_seconds() > 0
    admission.release(1)
    await queued


async def test_the_hint_grows_with_what_requests_take() -> None:
    admission = Admission(1, 0)
    await admission.acquire()
    short = admission.retry_after()
    for _ in range(50):
        admission.release(20)
        await admission.acquire()
    assert short < admission.retry_after()


async def test_pulled_work_waits_however_long_the_queue_is() -> None:
    admission = Admission(1, 0)
    await admission.acquire()
    pulled = await waiting(admission, accepted=True)
    admission.release(0)
    await pulled
    assert admission.running == 1


async def test_premium_goes_first_and_order_holds_within_a_class() -> None:
    admission = Admission(1, 10)
    await admission.acquire()
    order: list[str] = []

    async def take(name: str, *, premium: bool) -> None:
        await admission.acquire(premium=premium)
        order.append(name)
        admission.release(0)

    tasks = []
    for name, premium in [("s1", False), ("p1", True), ("s2", False), ("p2", True)]:
        tasks.append(asyncio.create_task(take(name, premium=premium)))
        await asyncio.sleep(0)
    admission.release(0)
    await asyncio.gather(*tasks)
    assert order == ["p1", "p2", "s1", "s2"]


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    admission = Admission(1, 1)
    await admission.acquire()
    queued = await waiting(admission)
    queued.cancel()
    await asyncio.wait([queued])
    assert admission.waiting == 0
    admission.release(0)
    assert admission.running == 0


async def test_a_slot_handed_to_a_cancelled_wait_is_passed_on() -> None:
    admission = Admission(1, 2)
    await admission.acquire()
    first, second = await waiting(admission), await waiting(admission)
    admission.release(0)
    first.cancel()
    await second
    assert (admission.running, admission.waiting) == (1, 0)


async def test_a_slot_that_comes_free_passes_over_a_cancelled_wait() -> None:
    admission = Admission(1, 2)
    await admission.acquire()
    first, second = await waiting(admission), await waiting(admission)
    first.cancel()
    admission.release(0)
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (admission.running, admission.waiting) == (1, 0)


@given(steps=st.lists(st.sampled_from(["ask", "ask premium", "pull", "finish", "give up"]), max_size=60))
@settings(max_examples=60, deadline=None)
async def test_slots_are_never_lost_nor_made(steps: list[str]) -> None:
    admission = Admission(3, 4)
    held = 0
    queued: list[asyncio.Task[None]] = []

    async def settle() -> None:
        nonlocal held
        for _ in range(3):
            await asyncio.sleep(0)
        for task in [task for task in queued if task.done()]:
            queued.remove(task)
            held += 0 if task.cancelled() or task.exception() else 1

    for step in steps:
        if step in {"ask", "ask premium", "pull"}:
            queued.append(
                asyncio.create_task(admission.acquire(premium=step == "ask premium", accepted=step == "pull"))
            )
        elif step == "finish" and held:
            held -= 1
            admission.release(0.01)
        elif step == "give up" and queued:
            queued[-1].cancel()
        await settle()
        assert admission.running == held <= 3
        assert admission.waiting == len(queued)
        assert not queued or held == 3
    for task in queued:
        task.cancel()
    if queued:
        await asyncio.wait(queued)
