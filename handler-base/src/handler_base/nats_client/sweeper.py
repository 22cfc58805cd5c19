"""Listens for work whose every attempt ended without a word, because it ends the process that handles it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from handler_base.errors import FleetError, NotFoundError
from handler_base.nats_client._backoff import Backoff
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.subscription import Subscription
from handler_base.telemetry import metrics

__all__ = ["Sweeper"]

log = logging.getLogger(__name__)

_QUEUE: Final = "dead-letters"
_ATTEMPTS: Final = 5


class _MaxDeliveries(msgspec.Struct):
    """The advisory of the server."""

    stream: str
    consumer: str
    stream_seq: int
    deliveries: int


_decoder: Final = msgspec.json.Decoder(_MaxDeliveries)


class Sweeper:
    """Buries what consumers gave up by themselves; one replica does it for all.

    Args:
        connection: To the server.
        bury: Called with stream, consumer, sequence and number of attempts.
    """

    def __init__(self, connection: NatsConnection, bury: Callable[[str, str, int, int], Awaitable[None]]) -> None:
        self._connection = connection
        self._bury = bury
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch(self, stream: str, consumer: str) -> None:
        """Listen for what a consumer gives up."""
        if (stream, consumer) not in self._subscriptions:
            subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{consumer}"
            subscription = await self._connection.subscribe(subject, self._on_advisory, queue=_QUEUE)
            self._subscriptions[stream, consumer] = subscription

    async def close(self) -> None:
        """Listen no more, and finish what was begun."""
        for subscription in self._subscriptions.values():
            await subscription.drain()
        self._subscriptions.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)

    def _on_advisory(self, msg: Msg) -> None:
        advisory = _decoder.decode(msg.data)
        task = asyncio.get_running_loop().create_task(self._sweep(advisory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self, advisory: _MaxDeliveries) -> None:
        backoff = Backoff(0.2, 5.0)
        for _ in range(_ATTEMPTS):
            try:
                await self._bury(advisory.stream, advisory.consumer, advisory.stream_seq, advisory.deliveries)
            except NotFoundError:
                log.warning("what was given up is gone", extra={"sequence": advisory.stream_seq})
                return
            except FleetError as error:
                log.warning("what was given up could not be buried", extra={"reason": error.message})
                await asyncio.sleep(backoff.pause())
            else:
                return
        metrics.SWALLOWED_ERRORS.of("sweeper").inc()
