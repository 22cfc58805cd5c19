"""Writes what events tell of runs of pipelines, one at a time: runs are few."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Protocol

from handler_base.errors import FleetError, InvalidRequestError
from handler_base.nats_client import Delivery
from handler_base.sessions.archive._pauses import Pauses, StoppedError, sleep_unless
from handler_base.sessions.archive.runs import PipelineRun
from handler_base.telemetry import metrics

__all__ = ["RunStore", "RunWriter"]

log = logging.getLogger(__name__)

_AFTER_A_FAULT: Final = timedelta(seconds=30)


class RunStore(Protocol):
    """What is needed of the archive."""

    async def store_run(self, run: PipelineRun) -> None:
        """Store what is told of a run; again without effect.

        Raises:
            InvalidRequestError: The database refuses it.
            UpstreamUnavailableError: The database is away; whether it was stored is not known.
        """
        ...


class RunWriter:
    """Stores runs however often that takes, and settles their deliveries.

    Args:
        archive: Where to.
        stopping: Set when what is not stored is to be left to whoever comes next.
        report: Is told why the archive cannot store, and the empty text when it can.
        give_up: Keeps aside what the database refuses.
    """

    def __init__(
        self,
        archive: RunStore,
        stopping: asyncio.Event,
        *,
        report: Callable[[str], None],
        give_up: Callable[[Delivery, FleetError], Awaitable[None]],
    ) -> None:
        self._archive = archive
        self._stopping = stopping
        self._report = report
        self._give_up = give_up

    async def write(self, delivery: Delivery, run: PipelineRun) -> None:
        """Store what a delivery tells of a run."""
        try:
            await self._until_settled(delivery, run)
        except StoppedError:
            return  # it is handed back
        except Exception:
            # Whatever it was, what else comes is to be archived, and this is tried again.
            metrics.SWALLOWED_ERRORS.of("archive.run").inc()
            log.exception("a run could not be archived", extra={"request_id": run.request_id})
            await delivery.nak(_AFTER_A_FAULT)

    async def _until_settled(self, delivery: Delivery, run: PipelineRun) -> None:
        pauses = Pauses()
        while not delivery.settled:
            try:
                await self._archive.store_run(run)
            except InvalidRequestError as error:
                await self._give_up(delivery, error)
            except FleetError as error:
                self._report(error.message)
                await sleep_unless(self._stopping, pauses.next())
            else:
                self._report("")
                await delivery.ack()
