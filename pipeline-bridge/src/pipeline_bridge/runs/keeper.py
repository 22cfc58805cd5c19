"""Keeps every run followed by exactly one replica."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError
from handler_base.messages.subjects import PIPELINE_CANCEL, PIPELINE_EVENT
from handler_base.nats_client import EventLog, Msg, NatsConnection, Subscription, WrongSequenceError
from handler_base.telemetry import metrics
from pipeline_bridge.catalog import EngineName
from pipeline_bridge.engines import Engine, RunRequest
from pipeline_bridge.runs.follower import Follower
from pipeline_bridge.runs.history import History
from pipeline_bridge.runs.leases import Lease
from pipeline_bridge.runs.record import RunRecord
from pipeline_bridge.runs.statuses import StatusLog
from pipeline_bridge.runs.store import RunStore, StoredRun

__all__ = ["RunKeeper"]

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 1.0
_LOOK_THROUGH_EVERY: Final = 30.0
_AGAIN_AFTER: Final = 1.0
_REMEMBER_SECONDS: Final = 30.0
_REMEMBER_MOST: Final = 1024
_ELSEWHERE: Final = "another replica follows the run"


class RunKeeper:
    """Starts runs, follows those of this replica, and takes over those of replicas that died.

    Args:
        connection: To the server.
        engines: Where runs may be.
        submit_timeout: Seconds an engine that is away is waited for.
        events: Whether events are told.
    """

    def __init__(
        self,
        connection: NatsConnection,
        engines: Mapping[EngineName, Engine],
        *,
        submit_timeout: float,
        events: bool = True,
    ) -> None:
        self._connection = connection
        self._engines = engines
        self._submit_timeout = submit_timeout
        self._events = EventLog(connection, PIPELINE_EVENT) if events else None
        self.history = History(self._events)
        self.statuses = StatusLog(connection)
        self._store = RunStore(connection)
        self._lease = Lease(connection, self._check_all)
        self._followers: dict[str, tuple[Follower, asyncio.Task[None]]] = {}
        self._early: OrderedDict[str, float] = OrderedDict()
        self._cancels: Subscription | None = None
        self._watch: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._alive: frozenset[str] = frozenset()
        self._look_again = False

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def replica(self) -> str:
        """Name of this replica."""
        return self._lease.replica

    async def start(self) -> None:
        """Listen for cancels, and look for runs that nobody follows."""
        await self._lease.start()
        self._cancels = self._connection.listen(PIPELINE_CANCEL.pattern, self._take_cancel)
        self._watch = asyncio.get_running_loop().create_task(self._look_after())

    async def stop(self, budget: timedelta) -> None:
        """Let go of the runs; others, or the next start, go on with them."""
        if self._watch is not None:
            self._watch.cancel()
        if self._cancels is not None:
            await self._cancels.drain(timeout=budget)
        self._let_go()
        waiting = {task for _, task in self._followers.values()} | self._errands
        if waiting:
            await asyncio.wait(waiting, timeout=budget.total_seconds())
        await self._lease.stop()
        if self._events is not None:
            await self._events.close()

    async def begin(self, request: RunRequest, engine: EngineName) -> RunRecord:
        """Start a run, unless there is one for the request; return the one there is.

        Raises:
            UpstreamUnavailableError: The bucket cannot be reached; nothing was started.
            DeadlineExceededError: It does not answer: whether it was started shows when it is tried again.
        """
        made = RunRecord.of(request, engine, self.replica)
        run = await self._store.add(made)
        if run.record is made and self._was_cancelled(request.request_id):
            made.cancelled = True
        # Its own from an earlier attempt too, whose acknowledgement was lost.
        if run.record.owner == self.replica and not run.record.final:
            self._follow(run, fresh=run.record is made)
        return run.record

    async def find(self, request_id: str) -> RunRecord | None:
        """Return the run of a request, or None."""
        found = await self._store.find(request_id)
        return None if found is None else found.record

    def _follow(self, run: StoredRun, *, fresh: bool = False) -> None:
        request_id = run.record.request_id
        if request_id in self._followers:
            return
        follower = Follower(
            run,
            self._engines[run.record.engine],
            store=self._store,
            statuses=self.statuses,
            history=self.history,
            submit_timeout=self._submit_timeout,
            lease=self._lease,
            fresh=fresh,
        )
        task = asyncio.get_running_loop().create_task(self._follow_through(follower))
        self._followers[request_id] = follower, task
        task.add_done_callback(lambda _: self._followers.pop(request_id, None))

    async def _follow_through(self, follower: Follower) -> None:
        request_id = follower.record.request_id
        try:
            await follower.follow()
        except* WrongSequenceError:
            log.info(_ELSEWHERE, extra={"request_id": request_id})
        except* Exception:
            # Whatever it was: the next look finds the run without a follower, and it is followed again.
            metrics.SWALLOWED_ERRORS.of("pipeline.follow").inc()
            log.exception("following a run failed", extra={"request_id": request_id})
            await asyncio.sleep(_AGAIN_AFTER)
        finally:
            self._look_again |= not follower.record.final

    async def _look_after(self) -> None:
        """Look who is alive, and take over what those who are not have left."""
        looked_through = float("-inf")
        while True:
            try:
                alive = await self._lease.alive()
                due = self._look_again or time.monotonic() - looked_through > _LOOK_THROUGH_EVERY
                if self._lease.held and (due or self._alive - alive):
                    self._look_again = False
                    await self._look_through(alive)
                    looked_through = time.monotonic()
                self._alive = alive
            except Exception as error:
                # Whatever it was: the next look is soon.
                metrics.SWALLOWED_ERRORS.of("pipeline.look").inc()
                if not isinstance(error, FleetError):
                    log.exception("looking for runs failed")
            await asyncio.sleep(_LOOK_EVERY)

    async def _look_through(self, alive: frozenset[str]) -> None:
        async with contextlib.aclosing(self._store.under_way()) as runs:
            async for run in runs:
                owner = run.record.owner
                followed = self._followers.get(run.record.request_id)
                if followed is not None and owner != self.replica:
                    # Taken over while this replica was thought dead.
                    followed[1].cancel()
                    log.info(_ELSEWHERE, extra={"request_id": run.record.request_id})
                elif followed is None and (owner == self.replica or owner not in alive):
                    await self._take_over(run)

    async def _take_over(self, run: StoredRun) -> None:
        if run.record.owner != self.replica:
            run.record.owner = self.replica
            try:
                await self._store.save(run)
            except WrongSequenceError:
                return  # another was first
            log.info("took a run over", extra={"request_id": run.record.request_id})
        self._follow(run)

    def _check_all(self) -> None:
        self._look_again = True

    def _let_go(self) -> None:
        for _, task in self._followers.values():
            task.cancel()

    def _take_cancel(self, msg: Msg) -> None:
        request_id = (PIPELINE_CANCEL.match(msg.subject) or {}).get("request_id", "")
        # Not at once: a trigger that came just before has yet to be taken in.
        asyncio.get_running_loop().call_soon(self.cancel, request_id)

    def cancel(self, request_id: str) -> None:
        """Stop a run: one of this replica's, one that nobody follows just now, or one that is about to be triggered."""
        if request_id in self._followers:
            self._followers[request_id][0].cancel()
            return
        self._early[request_id] = time.monotonic() + _REMEMBER_SECONDS
        while len(self._early) > _REMEMBER_MOST:
            self._early.popitem(last=False)
        task = asyncio.get_running_loop().create_task(self._mark_cancelled(request_id))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _mark_cancelled(self, request_id: str) -> None:
        """Leave word for whoever takes over a run whose replica is dead."""
        with contextlib.suppress(FleetError):  # its replica is alive and was first, or there is no such run
            run = await self._store.find(request_id)
            if run is not None and run.revision and run.record.owner not in await self._lease.alive():
                run.record.cancelled = True
                await self._store.save(run)

    def _was_cancelled(self, request_id: str) -> bool:
        return self._early.pop(request_id, 0.0) > time.monotonic()
