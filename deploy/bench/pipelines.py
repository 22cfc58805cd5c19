"""A thousand pipeline runs followed at once by one bridge: what that costs, and how soon a change is told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
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


async def pipelines(environment: Environment) -> Result:
    """Follow runs on the fakes of both engines, one engine after the other."""
    runs = 200 if environment.quick else _RUNS
    result = Result("pipelines", f"{runs:,} pipeline runs followed at once on one replica")
    table = environment.folder / "pipelines.yaml"
    await asyncio.to_thread(table.write_text, _TABLE, "utf-8")
    async with FakeArgo("bench") as argo, FakeKubeflow("bench") as kubeflow:

        def argo_progress(name: str, part: int) -> None:
            argo.put(name, "Running", progress=f"{part}/1000", nodes=_nodes(part))

        def kubeflow_progress(run_id: str, part: int) -> None:
            kubeflow.put(run_id, "RUNNING", {f"part-{part}": "RUNNING", "other": "SUCCEEDED"})

        engines: dict[str, tuple[Callable[[], Sequence[str]], Change, Change]] = {
            "argo": (lambda: list(argo.workflows), argo_progress, lambda name, _: argo.put(name, "Succeeded")),
            "kubeflow": (
                lambda: list(kubeflow.runs),
                kubeflow_progress,
                lambda run_id, _: kubeflow.put(run_id, "SUCCEEDED"),
            ),
        }
        for engine, (started, progress, end) in engines.items():
            url = await environment.nats_server()
            service, _ = await environment.service(
                "pipeline_bridge",
                NATS_URL=url,
                EVENTS="true",
                PIPELINES_FILE=str(table),
                ARGO_HOST=argo.url,
                KUBEFLOW_HOST=kubeflow.url,
            )
            async with pipeline_caller(url) as caller:
                await _begin(caller, f"{engine}-run", runs, started, progress)
                # What came with the start of so many is over.
                await asyncio.sleep(2)
                driver = _Driver(caller, started(), progress, end, rounds=environment.rounds)
                share, delays = await driver.measure(service)
            memory = service.rss() / 2**20
            wrong = argo.wrong + kubeflow.wrong
            if wrong:
                result.failures[f"{engine}: {wrong[0]}"] = len(wrong)
            result.rows.append(
                Row(
                    engine,
                    {
                        "% of a core": share.text(1),
                        "change to status, ms p50": f"{percentile(delays, 0.5) * 1e3:.0f}",
                        "p99": f"{percentile(delays, 0.99) * 1e3:.0f}",
                        "most": f"{max(delays) * 1e3:.0f}",
                        "RSS MB": f"{memory:.0f}",
                    },
                )
            )
            result.bars.append(Bar(f"pipelines: {runs:,} runs on {engine}, share of a core", share, 20.0, unit="%"))
            slowest = Spread.of([percentile(delays, 0.99)])
            result.bars.append(Bar(f"pipelines: change on {engine} to status, p99", slowest, 1.0, unit="s"))
            await environment.stop(service)
    result.notes.append(
        f"{_CHANGES_A_SECOND} changes of progress a second, and a fifth of the runs end while it is measured. "
        "Kubeflow is looked at as often as its share of the processor allows."
    )
    return result


async def _begin(
    caller: PipelineCaller, pipeline: str, runs: int, started: Callable[[], Sequence[str]], progress: Change
) -> None:
    """Have the runs start, and be running."""
    requests = [await caller.trigger(pipeline) for _ in range(runs)]
    for request in requests:
        await caller.until(request, "pending", timeout=300)
    for name in started():
        progress(name, 0)
    for request in requests:
        await caller.until(request, "running", timeout=300)


class _Driver:
    """Has runs get on and end, and sees how soon that is told.

    Args:
        caller: Hears the statuses.
        names: Of the runs, as their engine has them.
        progress: Has a run get on.
        end: Ends one.
        rounds: Rounds of five seconds.
    """

    def __init__(
        self, caller: PipelineCaller, names: Sequence[str], progress: Change, end: Change, *, rounds: int
    ) -> None:
        self._caller = caller
        self._names = list(names)
        self._progress = progress
        self._end = end
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
                    self._progress(name, number * 50 + tick)
            for name in ending[tick::50]:
                self._ended[name] = asyncio.get_running_loop().time()
                self._end(name, 0)
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
