"""Who is alive: each replica keeps a key that goes by itself when it is not renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from handler_base.errors import FleetError
from handler_base.messages.streams import PIPELINE_BRIDGES
from handler_base.nats_client import KeyValue, NatsConnection
from handler_base.telemetry import metrics

__all__ = ["Lease"]

log = logging.getLogger(__name__)

_TTL: Final = PIPELINE_BRIDGES.ttl.total_seconds() if PIPELINE_BRIDGES.ttl else 5.0
_RENEW: Final = _TTL / 4


class Lease:
    """Keeps a replica's sign of life.

    Args:
        connection: To the server.
        on_regained: Called after others may have thought this replica dead, and taken its runs over.

    Attributes:
        replica: Its name, new with each process.
        losses: How often others may have thought it dead so far.
    """

    def __init__(self, connection: NatsConnection, on_regained: Callable[[], None]) -> None:
        self.replica = uuid.uuid4().hex
        self.losses = 0
        self._bucket = KeyValue(connection, PIPELINE_BRIDGES)
        self._on_regained = on_regained
        self._renewed = float("-inf")
        self._revision = 0
        self._shown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether others see that this replica is alive."""
        return time.monotonic() - self._renewed < _TTL * 0.8

    async def start(self) -> None:
        """Show a sign of life now, and go on with it."""
        await self._renew()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Leave: others may take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        with contextlib.suppress(FleetError):  # it goes by itself
            await self._bucket.drop(self.replica, self._revision)

    async def until_held(self) -> None:
        """Wait until others see that this replica is alive."""
        while not self.held:
            await self._shown.wait()

    async def alive(self) -> frozenset[str]:
        """Return the replicas that are alive.

        Raises:
            UpstreamUnavailableError: The bucket cannot be reached.
            DeadlineExceededError: It does not answer.
        """
        return await self._bucket.keys()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            lost = not self.held
            # Before it is held again: what was true before has to be looked at anew.
            self.losses += lost
            await self._renew()
            if lost and self.held:
                self._on_regained()

    async def _renew(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_RENEW):
                self._revision = await self._bucket.put(self.replica, b"")
        except (FleetError, TimeoutError) as error:
            metrics.SWALLOWED_ERRORS.of("pipeline.lease").inc()
            log.warning("the sign of life could not be renewed", extra={"error": type(error).__name__})
        else:
            self._renewed = began
            shown, self._shown = self._shown, asyncio.Event()
            shown.set()
