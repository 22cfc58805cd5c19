"""Who asks a good question meanwhile does not notice the hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.tests.hostile.bodies import Body, harmful, huge, unreadable
from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller, chat_caller
from handler_base.testing.nats_server import NatsServer

ROUNDS = 4
QUESTIONS = 60
BOUND = 1.5
"""Times the latency without hostile bodies. Machines are noisy, and the test itself shares the processor."""


async def median_latency(caller: ChatCaller) -> float:
    """Seconds of a good question, one after the other."""
    took = []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        assert (await caller.ask(ChatRequest(message="hi", enable_rag=False))).answer.success
        took.append(time.perf_counter() - began)
    return statistics.median(took)


@asynccontextmanager
async def throwing(url: str, bodies: list[Body], pause: float) -> AsyncIterator[None]:
    """Send hostile bodies from a connection of its own while the block runs."""
    async with chat_caller(url) as hostile:

        async def throw() -> None:
            for body in itertools.cycle(bodies):
                await hostile.client.publish("ai.chat.request", body.payload, headers=body.headers)
                await hostile.client.flush()
                await asyncio.sleep(pause)

        thrower = asyncio.create_task(throw())
        try:
            yield
        finally:
            thrower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await thrower


@pytest.mark.parametrize(
    ("bodies", "pause"),
    [pytest.param([*unreadable(ChatRequest), *harmful()], 0.005, id="small"), pytest.param(huge(), 0.25, id="8 MB")],
)
async def test_the_median_latency_is_unmoved(
    caller: ChatCaller, nats: NatsServer, bodies: list[Body], pause: float
) -> None:
    await median_latency(caller)
    ratios = []
    for _ in range(ROUNDS):
        alone = await median_latency(caller)
        async with throwing(nats.url, bodies, pause):
            ratios.append(await median_latency(caller) / alone)
        if ratios[-1] < BOUND:
            return
    pytest.fail(f"times the latency without hostile bodies, by round: {[round(ratio, 2) for ratio in ratios]}")
