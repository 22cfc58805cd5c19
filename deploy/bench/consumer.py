"""One consumer process of the pull scenario: takes a number of messages and says how long it took.

``python -m deploy.bench.consumer NATS_URL KIND COUNT`` prints ``ready`` when it may be published to. The stream's
consumers start at a message on `GO_SUBJECT`, so that the publisher does not run beside them. At the end it prints one
JSON line.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

from handler_base.nats_client import ConnectionOptions, ConsumerSpec, Delivery, NatsConnection, PullConsumer

__all__ = ["CORE_SUBJECT", "GO_SUBJECT", "KINDS", "PULL_SUBJECT", "SLOTS", "STREAM", "Took", "main"]

CORE_SUBJECT: Final = "bench.consume.core"
PULL_SUBJECT: Final = "bench.consume.pull"
GO_SUBJECT: Final = "bench.consume.go"
STREAM: Final = "BENCH_CONSUME"
SLOTS: Final = 64


class Took(msgspec.Struct, kw_only=True, frozen=True):
    """What a consumer reports.

    Attributes:
        seconds: From the first message to the last.
        cpu_seconds: CPU time of the process over the same span.
    """

    seconds: float
    cpu_seconds: float


class _Counter:
    """Counts messages and notes the span from the first to the last."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._first = self._first_cpu = 0.0
        self.took: asyncio.Future[Took] = asyncio.get_running_loop().create_future()

    def add(self) -> None:
        if not self._first:
            self._first, self._first_cpu = time.perf_counter(), time.process_time()
        self._left -= 1
        if self._left == 0:
            span = time.perf_counter() - self._first
            self.took.set_result(Took(seconds=span, cpu_seconds=time.process_time() - self._first_cpu))


def _announce() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def _core(url: str, total: int) -> Took:
    """The reference: a core subscription of nats-py that does nothing with what it gets."""
    client = await nats.connect(url)
    counter = _Counter(total)

    async def take(_: Msg) -> None:
        counter.add()

    await client.subscribe(CORE_SUBJECT, cb=take)
    await client.flush()
    _announce()
    took = await counter.took
    await client.close()
    return took


async def _fetch(url: str, total: int) -> Took:
    """What nats-py offers for pulling: `fetch` of as many as there are slots, each acknowledged."""
    client = await nats.connect(url)
    durable = await client.jetstream().pull_subscribe(PULL_SUBJECT, "fetch", STREAM)
    counter = _Counter(total)
    go = await client.subscribe(GO_SUBJECT)
    await client.flush()
    _announce()
    await go.next_msg(timeout=60)
    while not counter.took.done():
        for message in await durable.fetch(SLOTS, timeout=10):
            await message.ack()
            counter.add()
    await client.flush()
    await client.close()
    return counter.took.result()


async def _pull(url: str, total: int) -> Took:
    """Ours: pulled by credit, a task a message, each acknowledged when its task is done."""
    connection = NatsConnection(ConnectionOptions(servers=(url,), name="bench-pull"))
    await connection.connect()
    counter = _Counter(total)
    tasks: set[asyncio.Task[None]] = set()

    async def work(delivery: Delivery) -> None:
        await delivery.ack()
        counter.add()

    def take(delivery: Delivery) -> None:
        task = asyncio.create_task(work(delivery))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    spec = ConsumerSpec(stream=STREAM, durable="pull", filter_subjects=(PULL_SUBJECT,), ack_wait=timedelta(seconds=30))
    # A durable consumer starts with new messages: it has to exist before there are any.
    creation = PullConsumer(connection, spec, take, slots=SLOTS)
    await creation.start()
    await creation.close()
    go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await connection.subscribe(GO_SUBJECT, lambda _: go.set_result(None))
    await connection.flush()
    _announce()
    await go
    consumer = PullConsumer(connection, spec, take, slots=SLOTS)
    await consumer.start()
    took = await counter.took
    await consumer.close()
    await connection.close()
    return took


KINDS: Final[dict[str, Callable[[str, int], Awaitable[Took]]]] = {"core": _core, "fetch": _fetch, "pull": _pull}
"""The consumers by name."""


async def main(url: str, kind: str, total: int) -> None:
    """Consume, and report."""
    took = await KINDS[kind](url, total)
    sys.stdout.write(msgspec.json.encode(took).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
