"""The scenario of durable work: messages a second through a pull consumer, against a raw core subscription."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from deploy.bench.consumer import CORE_SUBJECT, GO_SUBJECT, PULL_SUBJECT, SLOTS, STREAM, Took
from deploy.bench.environment import Environment
from deploy.bench.measure import Spread
from deploy.bench.result import Bar, Result, Row

__all__ = ["pull"]

_PAYLOAD: Final = b"x" * 128
_BATCH: Final = 1000
_KINDS: Final = {"ours": "pull", "nats-py core subscription": "core", "nats-py fetch": "fetch"}


async def pull(environment: Environment) -> Result:
    """128-byte messages from a memory stream, each handled in a task and acknowledged."""
    result = Result("pull", f"Pull consumer at {SLOTS} slots, 128 B, memory stream, each message acknowledged")
    total = 20_000 if environment.quick else 100_000
    took: dict[str, list[Took]] = {name: [] for name in _KINDS}
    for _ in range(min(environment.rounds, 4)):
        for name, kind in _KINDS.items():
            took[name].append(await _round(environment, kind, total))
    rates = {name: [total / one.seconds for one in rounds] for name, rounds in took.items()}
    for name, rounds in took.items():
        cpu = Spread.of([one.cpu_seconds / total * 1e6 for one in rounds])
        result.rows.append(Row(name, {"messages/s": Spread.of(rates[name]).text(0), "CPU µs/message": cpu.text(1)}))
    result.bars.append(_bar(rates["ours"], rates["nats-py core subscription"]))
    return result


def _bar(ours: list[float], core: list[float]) -> Bar:
    """Either holds: an absolute rate, or a share of what the raw client does on this machine in this run."""
    share = Bar(
        "pull: rate, ours / raw core subscription",
        Spread.of([mine / raw for mine, raw in zip(ours, core, strict=True)]),
        0.6,
        "higher",
    )
    rate = Bar("pull: messages a second", Spread.of(ours), 25_000, "higher", "msg/s")
    return min(rate, share, key=lambda bar: bar.score.median)


async def _round(environment: Environment, kind: str, total: int) -> Took:
    """Publish `total` messages and have a fresh consumer process take them."""
    client = environment.load.client
    jetstream = client.jetstream()
    if kind != "core":
        await jetstream.add_stream(StreamConfig(name=STREAM, subjects=[PULL_SUBJECT], storage=StorageType.MEMORY))
    worker = await environment.start_python(
        f"consumer-{kind}", "deploy.bench.consumer", environment.nats_url, kind, str(total)
    )
    await worker.line()
    if kind == "core":
        for number in range(total):
            await client.publish(CORE_SUBJECT, _PAYLOAD)
            if number % _BATCH == 0:
                # Let the socket drain: one endless loop here would be a burst no subscription could follow.
                await client.flush()
    else:
        await _fill(jetstream, total)
        await client.publish(GO_SUBJECT, b"")
    took = msgspec.json.decode(await worker.line(120), type=Took)
    await environment.stop(worker)
    if kind != "core":
        await jetstream.delete_stream(STREAM)
    return took


async def _fill(jetstream: JetStreamContext, total: int) -> None:
    for start in range(0, total, _BATCH):
        count = min(_BATCH, total - start)
        await asyncio.gather(*(jetstream.publish(PULL_SUBJECT, _PAYLOAD) for _ in range(count)))
