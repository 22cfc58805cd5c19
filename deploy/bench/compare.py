"""Rounds of several contestants, one after the other and again, each round's cost read from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deploy.bench.environment import Environment
from deploy.bench.load import Load, Plan, Traffic
from deploy.bench.measure import Cost
from deploy.bench.process import Worker

__all__ = ["Contestant", "Outcome", "interleave"]

_SETTLE_STEP = 0.1
_SETTLE_LEAST = 2.2  # longer than our span exporter waits for a batch to fill
_SETTLE_MOST = 5.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of those compared.

    Attributes:
        worker: Its process.
        subject: Where it is asked.
        json: Whether it is asked in JSON.
        load: Who asks it, where it is on a server of its own; None: the caller of the run.
    """

    worker: Worker
    subject: str
    json: bool = False
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rounds of one contestant gave.

    Attributes:
        costs: One entry a round.
        traffic: What the caller saw, one entry a round.
    """

    costs: list[Cost] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    @property
    def failures(self) -> dict[str, int]:
        """Wrong answers of all rounds, by the reason."""
        found: dict[str, int] = {}
        for traffic in self.traffic:
            for reason, number in traffic.failures.items():
                found[reason] = found.get(reason, 0) + number
        return found


async def interleave(environment: Environment, contestants: Sequence[Contestant], plan: Plan) -> list[Outcome]:
    """Run A B A B ... after one shorter round of each that warms it up; returns their outcomes in order."""
    for contestant in contestants:
        warm_up = replace(plan, total=max(plan.total // 4, plan.in_flight))
        await (contestant.load or environment.load).run(contestant.subject, warm_up, json=contestant.json)
        await _settled(contestant.worker)
    outcomes = [Outcome() for _ in contestants]
    for _ in range(environment.rounds):
        for contestant, outcome in zip(contestants, outcomes, strict=True):
            before = contestant.worker.cpu_seconds()
            traffic = await (contestant.load or environment.load).run(contestant.subject, plan, json=contestant.json)
            used = await _settled(contestant.worker) - before
            wrong = sum(traffic.failures.values())
            outcome.costs.append(Cost(used, traffic.seconds, plan.total, wrong))
            outcome.traffic.append(traffic)
    return outcomes


async def _settled(worker: Worker) -> float:
    """Return its CPU time once it is quiet, so that spans exported after the last answer count as well."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    used = worker.cpu_seconds()
    while loop.time() - started < _SETTLE_MOST:
        await asyncio.sleep(_SETTLE_STEP)
        now = worker.cpu_seconds()
        if now == used and loop.time() - started >= _SETTLE_LEAST:
            break
        used = now
    return used
