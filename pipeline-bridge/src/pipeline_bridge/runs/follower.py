"""Takes one run from its trigger to its final status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    OverloadedError,
    RequestCancelledError,
    UpstreamUnavailableError,
    to_fleet_error,
)
from handler_base.messages.domain import RunState
from handler_base.nats_client import WrongSequenceError
from handler_base.telemetry import metrics
from pipeline_bridge.engines import Engine, Produced, Update
from pipeline_bridge.runs.history import History
from pipeline_bridge.runs.leases import Lease
from pipeline_bridge.runs.record import FINAL, RunRecord, now, rank
from pipeline_bridge.runs.statuses import StatusLog
from pipeline_bridge.runs.store import RunStore, StoredRun

__all__ = ["Follower"]

log = logging.getLogger(__name__)

_RETRYABLE: Final = (UpstreamUnavailableError, OverloadedError, DeadlineExceededError)
_PATIENCE: Final = 0.5
"""Seconds the first status waits for the engine's id of the run."""

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_PROGRESS_EVERY: Final = 0.5
_SAVE_EVERY: Final = 10.0
_CANCELLED: Final = "The run was cancelled."
_TOO_LONG: Final = "The run took longer than it may."


class Follower:
    """Follows one run. Whatever it does may be done again by another replica, from what the record says.

    Args:
        run: The run, owned by this replica.
        engine: Where it runs.
        store: Keeps the record.
        statuses: Tells the statuses.
        history: Tells the events.
        submit_timeout: Seconds an engine that is away is waited for.
        lease: Tells whether others see that this replica is alive, so that the run is still its own.
        fresh: Whether no engine can have heard of the run yet.
    """

    def __init__(
        self,
        run: StoredRun,
        engine: Engine,
        *,
        store: RunStore,
        statuses: StatusLog,
        history: History,
        submit_timeout: float,
        lease: Lease,
        fresh: bool,
    ) -> None:
        self._run = run
        self._engine = engine
        self._store = store
        self._statuses = statuses
        self._history = history
        self._submit_timeout = submit_timeout
        self._lease = lease
        self._losses = lease.losses
        self._fresh = fresh
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()
        self._progress_at = float("-inf")
        self._saved_at = time.monotonic()

    @property
    def record(self) -> RunRecord:
        """Where the run stands."""
        return self._run.record

    async def follow(self) -> None:
        """Go on until the final status is told, and the run is kept with those that ended.

        Raises:
            WrongSequenceError: Another replica took the run over.
        """
        await self._catch_up()
        if self.record.final:
            # Told by a replica that may have died before the event left.
            self._history.completed(self.record)
        else:
            async with _beside(self._stop_when_asked()):
                await self._go_on()
        if self.record.final:
            await _patiently(lambda: self._store.finish(self._run))

    def cancel(self) -> None:
        """Have the run stopped."""
        if not self.record.cancelled:
            self.record.cancelled = True
            self._changed.set()

    async def _catch_up(self) -> None:
        """Learn what was told by a replica that could not note it any more."""
        record = self.record
        last = await self._statuses.last(record.request_id)
        if rank(last.status) < rank(record.status):
            return
        record.status, record.sequence = last.status, last.sequence
        if last.message is not None:
            record.run_id = record.run_id or last.message.run_id
        if record.final and last.message is not None:
            record.error, record.finished_at = last.message.error, last.message.finished_at
            record.progress, record.message = last.message.progress, last.message.message
            record.artifacts = tuple(Produced(made.name, made.type, made.uri) for made in last.message.artifacts)

    async def _go_on(self) -> None:
        error = await self._start()
        if error is not None:
            self.record.error = error.message
            await self._tell("failed")
            return
        await self._tell("pending")
        async with contextlib.aclosing(self._engine.follow(self.record.ref)) as updates:
            async for update in updates:
                await self._take(update)
                if self.record.final:
                    return

    async def _start(self) -> FleetError | None:
        """Have the engine start the run, and tell that it was asked to; return why it cannot."""
        if self.record.run_id:
            await self._tell("submitted")
            return None
        submitting = asyncio.get_running_loop().create_task(self._submit())
        try:
            await asyncio.wait({submitting}, timeout=_PATIENCE)
            await self._tell("submitted")
            error = await submitting
        finally:
            submitting.cancel()
        if error is None:
            self._history.created(self.record)
        return error

    async def _submit(self) -> FleetError | None:
        due = time.monotonic() + self._submit_timeout
        attempt = 0
        while True:
            if self.record.cancelled and self._fresh:
                return RequestCancelledError(_CANCELLED)
            # From here on it may have been started, whatever is answered: to stop it, its id has to be found.
            self._fresh = False
            try:
                self.record.run_id = await self._engine.submit(self.record.request)
            except _RETRYABLE as error:
                if time.monotonic() > due:
                    return error
                await self._pause(attempt)
                attempt += 1
            except Exception as error:
                # Whatever an engine's client does: this run fails, and the bridge goes on.
                if not isinstance(error, FleetError):
                    metrics.SWALLOWED_ERRORS.of("pipeline.submit").inc()
                    log.exception("a run could not be started", extra={"request_id": self.record.request_id})
                return to_fleet_error(error)
            else:
                return None

    async def _pause(self, attempt: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSES[min(attempt, len(_PAUSES) - 1)]):
                await self._changed.wait()

    async def _take(self, update: Update) -> None:
        record = self.record
        progressed = update.progress not in {"", record.progress} or update.message not in {"", record.message}
        record.progress = update.progress or record.progress
        record.message = update.message or record.message
        self._history.steps(record, update.steps)
        new = tuple(made for made in update.artifacts if made not in record.artifacts)
        record.artifacts += new
        self._history.artifacts(record, new)
        if update.state is RunState.FAILED:
            record.error = self._why(update)
        if rank(update.state.value) > rank(record.status):
            if update.ran:
                await self._tell("running")
            if update.state.final:
                await self._tell(update.state.value)
        elif progressed and not update.steps:
            await self._tell_progress()

    def _why(self, update: Update) -> str:
        if self.record.remaining <= 0:
            return _TOO_LONG
        return _CANCELLED if self.record.cancelled else update.error or "The run failed."

    async def _tell(self, status: str) -> None:
        """Tell a status that was not told, and note that."""
        record = self.record
        if rank(record.status) >= rank(status):
            return
        await self._ours()
        if status in FINAL:
            record.finished_at = now()
        message = record.told(status)
        told = await self._statuses.tell(message, record.sequence)
        # It may be a later one, told by a replica that was thought dead.
        record.status, record.sequence = told.status, told.sequence
        if record.final:
            self._history.completed(record)
        elif record.status != "submitted":
            # The first status is noted with the second, which follows at once.
            await self._save()

    async def _ours(self) -> None:
        """Make sure that the run is still this replica's, after a time in which others may have thought it dead.

        Whoever listens would hear a status, though the stream would not take what another replica has told meanwhile.
        """
        if self._lease.held and self._losses == self._lease.losses:
            return
        await self._lease.until_held()
        losses = self._lease.losses
        await _patiently(self._check_owner)
        self._losses = losses

    async def _check_owner(self) -> None:
        found = await self._store.find(self.record.request_id)
        if found is None or found.record.owner != self.record.owner:
            raise WrongSequenceError

    async def _tell_progress(self) -> None:
        moment = time.monotonic()
        if moment - self._progress_at < _PROGRESS_EVERY:
            return
        self._progress_at = moment
        self._history.progress(self.record)
        if moment - self._saved_at > _SAVE_EVERY:
            await self._save()

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        async with self._saving:
            await _patiently(lambda: self._store.save(self._run))

    async def _stop_when_asked(self) -> None:
        """Stop the run when it is cancelled, or takes too long."""
        if not self.record.cancelled:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self.record.remaining, 0.0)):
                    await self._changed.wait()
            self.cancel()
            await self._save()
        attempt = 0
        while not await self._stopped():
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1

    async def _stopped(self) -> bool:
        """Ask the engine to stop the run; return whether there is no need to ask again."""
        if not self.record.run_id:
            return False
        try:
            await self._engine.cancel(self.record.ref)
        except _RETRYABLE:
            return False
        except Exception:
            # Whatever an engine's client does: the run is followed to its end all the same.
            metrics.SWALLOWED_ERRORS.of("pipeline.cancel").inc()
            log.exception("a run cannot be stopped", extra={"request_id": self.record.request_id})
        return True


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Do what the bucket must do, however long it is away."""
    while True:
        try:
            await work()
        except (UpstreamUnavailableError, DeadlineExceededError):
            await asyncio.sleep(_PAUSES[1])
        else:
            return


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do some work beside the block, as long as that lasts; what the work raises ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()
