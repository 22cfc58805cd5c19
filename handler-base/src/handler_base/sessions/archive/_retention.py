"""Takes out of the archive what is older than promised."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from handler_base.errors import FleetError
from handler_base.sessions.archive._pauses import StoppedError, sleep_unless
from handler_base.telemetry import metrics

__all__ = ["ExpiringStore", "Retention"]

log = logging.getLogger(__name__)

_SOON: Final = timedelta(seconds=30)
"""Longest wait for the first run: replicas that start together do not all begin with it."""


class ExpiringStore(Protocol):
    """What is needed of the archive."""

    async def expire(self, before: datetime) -> int:
        """Remove the messages from before a moment; return how many there were."""
        ...


class Retention:
    """Removes old messages soon after the start and then again and again.

    Args:
        archive: Where from.
        keep: How long a message is kept.
        every: Between two runs, more or less.
    """

    def __init__(self, archive: ExpiringStore, keep: timedelta, every: timedelta) -> None:
        self._archive = archive
        self._keep = keep
        self._every = every.total_seconds()

    def too_old(self, moment: datetime) -> bool:
        """Whether what happened at a moment is not to be kept any more."""
        return moment < datetime.now(UTC) - self._keep

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until the worker stops; a run that fails is made up for before long."""
        try:
            await sleep_unless(stopping, random.uniform(0, min(self._every, _SOON.total_seconds())))  # noqa: S311 - spreads load
            while True:
                removed = await self._expire()
                pause = self._every if removed is not None else self._every / 10
                await sleep_unless(stopping, pause * random.uniform(0.9, 1.1))  # noqa: S311 - likewise
        except StoppedError:
            return

    async def _expire(self) -> int | None:
        """Return how many messages went; None when it failed."""
        try:
            removed = await self._archive.expire(datetime.now(UTC) - self._keep)
        except FleetError as error:
            metrics.SWALLOWED_ERRORS.of("archive.retention").inc()
            log.warning("old messages could not be removed", extra={"problem": error.message})
            return None
        except Exception:
            # Whatever it was, the next run may be spared it, and archiving goes on.
            metrics.SWALLOWED_ERRORS.of("archive.retention").inc()
            log.exception("old messages could not be removed")
            return None
        if removed:
            log.info("removed old messages", extra={"messages": removed})
        return removed
