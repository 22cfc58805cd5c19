"""Looks at all runs of Kubeflow together.

Kubeflow tells nobody what changes. A look lists the runs under way, page by page, and asks for each that is followed
and no longer among them. How often depends on what that costs: a look takes a small share of the time at most, so that
a thousand runs do not eat the processor that their fleet needs; failures make the pauses longer too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import quote

import msgspec

from handler_base.errors import FleetError, NotFoundError
from handler_base.telemetry import metrics
from pipeline_bridge.engines.http import EngineApi
from pipeline_bridge.engines.kubeflow_objects import UNDER_WAY, KubeflowRun, RunList
from pipeline_bridge.engines.pauses import Pauses

__all__ = ["KubeflowPoll", "SeenRun"]

log = logging.getLogger(__name__)

_RUNS: Final = "/apis/v2beta1/runs"
_PAGE: Final = "200"
_SHARE: Final = 0.1
"""Of one processor's time that looking may take."""

_CALL_SECONDS: Final = 0.0025
"""Processor time of a call besides reading its answer. To measure it would count in all that runs while it waits."""

_ASKED_AT_ONCE: Final = 8


class SeenRun:
    """Hands one follower the newest view of its run."""

    def __init__(self) -> None:
        self._run: KubeflowRun | None = None
        self._gone = False
        self._new = asyncio.Event()

    def show(self, run: KubeflowRun) -> None:
        """Put a newer view in place of the last, if it differs."""
        if run != self._run:
            self._run = run
            self._new.set()

    def vanish(self) -> None:
        """Tell that there is no such run any more."""
        self._gone = True
        self._new.set()

    async def next(self) -> KubeflowRun | None:
        """Return the newest view when there is one that was not looked at; None: it is gone."""
        await self._new.wait()
        self._new.clear()
        return None if self._gone else self._run


class KubeflowPoll:
    """Looks while some runs are followed.

    Args:
        api: Of the API server.
        least: Least seconds between two looks.
        most: Most seconds between two looks.

    Attributes:
        experiment_id: Where the runs are; empty while it is not known: then all are looked at.
    """

    def __init__(self, api: EngineApi, *, least: float, most: float) -> None:
        self._api = api
        self._least = least
        self._most = max(least, most)
        self._followed: dict[str, SeenRun] = {}
        self._task: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        self.experiment_id = ""

    @contextlib.asynccontextmanager
    async def following(self, run_id: str) -> AsyncGenerator[SeenRun, None]:
        """Follow a run for the block."""
        seen = self._followed[run_id] = SeenRun()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            yield seen
        finally:
            if self._followed.get(run_id) is seen:
                del self._followed[run_id]
            if not self._followed:
                await self.close()

    async def close(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def hurry(self) -> None:
        """Look at once."""
        self._soon.set()

    async def _run(self) -> None:
        failures = Pauses(self._least, self._most)
        while True:
            try:
                pause = min(max(self._least, await self._look() / _SHARE), self._most)
                failures.reset()
            except Exception as error:
                # Whatever it was: the next look tells all there is to know.
                metrics.SWALLOWED_ERRORS.of("kubeflow.poll").inc()
                if not isinstance(error, FleetError):
                    log.exception("looking at Kubeflow's runs failed")
                pause = failures.next()
            self._soon.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._soon.wait()

    async def _look(self) -> float:
        """Look once; return what that cost, in seconds of a processor."""
        cost = 0.0
        expected = dict(self._followed)
        predicate = {"operation": "IN", "key": "state", "string_values": {"values": list(UNDER_WAY)}}
        query = {"page_size": _PAGE, "filter": msgspec.json.encode({"predicates": [predicate]}).decode()}
        if self.experiment_id:
            query["experiment_id"] = self.experiment_id
        while True:
            answer = await self._api.call("GET", _RUNS, msgspec.Raw, query=query)
            began = time.thread_time()
            page = self._api.read(answer, RunList)
            for run in page.runs or ():
                seen = expected.pop(run.run_id, None)
                if seen is not None:
                    seen.show(run)
            cost += time.thread_time() - began + _CALL_SECONDS
            if not page.next_page_token or not expected:
                break
            query["page_token"] = page.next_page_token
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)
        await asyncio.gather(*(self._ask(run_id, seen, turns) for run_id, seen in expected.items()))
        return cost + len(expected) * _CALL_SECONDS

    async def _ask(self, run_id: str, seen: SeenRun, turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                seen.show(await self._api.call("GET", f"{_RUNS}/{quote(run_id, safe='')}", KubeflowRun))
            except NotFoundError:
                seen.vanish()
