"""A thousand pipeline runs followed at once by one bridge: what that costs, and how soon a change is told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.bench.environment import Environment
from deploy.bench.measure import Spread, percentile
from deploy.bench.process import Worker
from deploy.bench.result import Bar, Result, Row
from handler_base.testing.waiting import wait_until
from pipeline_bridge.testing import FakeArgo, FakeKubeflow, PipelineCaller, pipeline_caller

__all__ = ["pipelines"]

_TABLE: Final = """
pipelines:
  argo-run:
    engine: argo
    argo: {template: bench}
  kubeflow-run:
    engine: kubeflow
    kubeflow: {pipeline: bench}
"""
_RUNS: Final = 1000
_ENDING: Final = 0.2
"""Share of the runs that end while it is measured."""

_CHANGES_A_SECOND: Final = 100
"""Of the progress of all runs together: each gets on every ten seconds."""

Change = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class _Side:
    """The fake of an engine.

    Attributes:
        engine: Its name.
        started: Returns the runs it has.
        progress: Has a run get on.
        end: Ends one.
    """

    engine: str
    started: Callable[[], Sequence[str]]
    progress: Change
    end: Change


async def pipelines(environment: Environment) -> Result:
    """Follow runs on the fakes of both engines, one engine after the other."""
    runs = 200 if environment.quick else _RUNS
    result = Result("pipelines", f"{runs:,} pipeline runs followed at once on one replica")
    await asyncio.to_thread((environment.folder / "pipelines.yaml").write_text, _TABLE, "utf-8")
    async with FakeArgo("bench") as argo, FakeKubeflow("bench") as kubeflow:
        addresses = {"ARGO_HOST": argo.url, "KUBEFLOW_HOST": kubeflow.url}
        for side in (_argo(argo), _kubeflow(kubeflow)):
            await _follow(environment, side, runs, addresses, result)
        for wrong in argo.wrong + kubeflow.wrong:
            result.failures[wrong] = result.failures.get(wrong, 0) + 1
    result.notes.append(
        f"{_CHANGES_A_SECOND} changes of progress a second, and a fifth of the runs end while it is measured. "
        "Kubeflow is looked at as often as its share of the processor allows."
    )
    return result


def _argo(argo: FakeArgo) -> _Side:
    return _Side(
        "argo",
        lambda: list(argo.workflows),
        lambda name, part: argo.put(name, "Running", progress=f"{part}/1000", nodes=_nodes(part)),
        lambda name, _: argo.put(name, "Succeeded"),
    )


def _kubeflow(kubeflow: FakeKubeflow) -> _Side:
    return _Side(
        "kubeflow",
        lambda: list(kubeflow.runs),
        lambda run_id, part: kubeflow.put(run_id, "RUNNING", {f"part-{part}": "RUNNING", "other": "SUCCEEDED"}),
        lambda run_id, _: kubeflow.put(run_id, "SUCCEEDED"),
    )


async def _follow(environment: Environment, side: _Side, runs: int, addresses: dict[str, str], result: Result) -> None:
    """Have a bridge follow the runs of one engine, and add what that cost."""
    url = await environment.nats_server()
    table = str(environment.folder / "pipelines.yaml")
    variables = {"NATS_URL": url, "EVENTS": "true", "PIPELINES_FILE": table, **addresses}
    service, _ = await environment.service("pipeline_bridge", wait=True, **variables)
    async with pipeline_caller(url) as caller:
        await _begin(caller, side, runs)
        # What came with the start of so many is over.
        await asyncio.sleep(2)
        share, delays = await _Driver(caller, side, rounds=environment.rounds).measure(service)
    figures = {
        "% of a core": share.text(1),
        "change to status, ms p50": f"{percentile(delays, 0.5) * 1e3:.0f}",
        "p99": f"{percentile(delays, 0.99) * 1e3:.0f}",
        "most": f"{max(delays) * 1e3:.0f}",
        "RSS MB": f"{service.rss() / 2**20:.0f}",
    }
    result.rows.append(Row(side.engine, figures))
    result.bars.append(Bar(f"pipelines: {runs:,} runs on {side.engine}, share of a core", share, 20.0, unit="%"))
    slowest = Spread.of([percentile(delays, 0.99)])
    result.bars.append(Bar(f"pipelines: change on {side.engine} to status, p99", slowest, 1.0, unit="s"))
    await environment.stop(service)


async def _begin(caller: PipelineCaller, side: _Side, runs: int) -> None:
    """Have the runs start, and be running."""
    requests = [await caller.trigger(f"{side.engine}-run") for _ in range(runs)]
    for request in requests:
        await caller.until(request, "pending", timeout=300)
    for name in side.started():
        side.progress(name, 0)
    for request in requests:
        await caller.until(request, "running", timeout=300)


class _Driver:
    """Has runs get on and end, and sees how soon that is told.

    Args:
        caller: Hears the statuses.
        side: The engine, with the runs.
        rounds: Rounds of five seconds.
    """

    def __init__(self, caller: PipelineCaller, side: _Side, *, rounds: int) -> None:
        self._caller = caller
        self._side = side
        self._names = list(side.started())
        self._rounds = rounds
        self._chance = random.Random(5)  # noqa: S311 - the same each time
        self._ended: dict[str, float] = {}

    async def measure(self, service: Worker) -> tuple[Spread, list[float]]:
        """Return the share of a core, in percent, and the seconds until the end of a run was told."""
        ending = self._chance.sample(self._names, int(len(self._names) * _ENDING))
        shares = []
        for number in range(self._rounds):
            began, used = time.perf_counter(), service.cpu_seconds()
            await self._round(ending[number :: self._rounds], number)
            shares.append((service.cpu_seconds() - used) / (time.perf_counter() - began) * 100)
        await wait_until(lambda: len(self._told()) >= len(self._ended), timeout=30, every=0.1)
        told = self._told()
        return Spread.of(shares), [told[name] - moment for name, moment in self._ended.items()]

    async def _round(self, ending: Sequence[str], number: int) -> None:
        for tick in range(50):
            for name in self._chance.sample(self._names, _CHANGES_A_SECOND // 10):
                if name not in self._ended:
                    self._side.progress(name, number * 50 + tick)
            for name in ending[tick::50]:
                self._ended[name] = asyncio.get_running_loop().time()
                self._side.end(name, 0)
            await asyncio.sleep(0.1)

    def _told(self) -> dict[str, float]:
        heard = (each for told in self._caller.heard.values() for each in told)
        return {told.run_id: moment for moment, told in heard if told.finished_at}


def _nodes(part: int) -> dict[str, object]:
    """Return the nodes of a workflow with a few steps, one of them new with every part."""
    done = {
        "type": "Pod",
        "phase": "Succeeded",
        "name": "bench",
        "templateName": "step",
        "startedAt": "2026-01-01T00:00:00Z",
    }
    names = ("load", "split", "embed", f"part-{part}")
    return {name: {**done, "id": name, "displayName": name} for name in names}
