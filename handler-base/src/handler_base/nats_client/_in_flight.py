"""The deliveries that are being worked on: kept alive, recognised when they come again, given up when lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.delivery import ACK, IN_PROGRESS, Delivery, nak_payload
from handler_base.telemetry import metrics

__all__ = ["InFlight"]

log = logging.getLogger(__name__)

_REMEMBERED: Final = 4096
"""Settled messages that are surely remembered; twice as many at most."""

_OWNED: Final = 0.9
"""Share of `ack_wait` after which a delivery counts as lost: the server's clock started before ours."""


class InFlight:
    """Holds a consumer's unsettled deliveries.

    Args:
        connection: Where acknowledgements go.
        stream: Name of the stream; for metrics.
        consumer: Name of the consumer; for metrics.
        on_settled: Called when a slot became free.

    Attributes:
        ack_wait: Seconds the server waits for a sign of life.
    """

    def __init__(self, connection: NatsConnection, stream: str, consumer: str, on_settled: Callable[[], None]) -> None:
        self._connection = connection
        self._on_settled = on_settled
        self._deliveries: dict[tuple[str, str], Delivery] = {}
        self._finished: set[tuple[str, str]] = set()
        self._finished_before: set[tuple[str, str]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._last_tick = time.monotonic()
        self._idle: asyncio.Future[None] | None = None
        self._redeliveries = metrics.REDELIVERIES.of(stream, consumer)
        self._heartbeats = metrics.HEARTBEATS_SENT.of(stream, consumer)
        self._lost = metrics.OWNERSHIP_LOST.of(stream, consumer)
        self.ack_wait = 30.0

    def __len__(self) -> int:
        return len(self._deliveries)

    def take(self, msg: Msg) -> Delivery | None:
        """Return a delivery to work on; None when the message is being worked on here, or was finished here."""
        delivery = Delivery(msg, self)
        key = delivery.key
        if delivery.attempt > 1:
            self._redeliveries.inc()
        running = self._deliveries.get(key)
        if running is not None:
            self._adopt(running, delivery, msg)
            return None
        if key in self._finished or key in self._finished_before:
            # The first acknowledgement got lost with its link.
            self._send(msg.reply, ACK)
            return None
        if self._held_up():
            # It may have come long ago, and be another replica's by now. The server brings it again if not.
            return None
        self._deliveries[key] = delivery
        return delivery

    def settle(self, delivery: Delivery, payload: bytes, *, finished: bool) -> None:
        """Send the acknowledgement, and free the slot."""
        if delivery.settled:
            return
        delivery.settled = True
        key = delivery.key
        del self._deliveries[key]
        if finished:
            self._remember(key)
        self._send(delivery.reply, payload)
        self._free()

    async def still_owns(self, delivery: Delivery) -> bool:
        """Return whether the server still counts a delivery as ours; one that is overdue is confirmed or lost."""
        if not delivery.settled and time.monotonic() - delivery.held_since > self.ack_wait * _OWNED:
            await self._give_up_lost()
        return not delivery.settled

    def hand_back(self, delay: timedelta) -> int:
        """Give back everything that is not settled, to be delivered again after `delay`; return how much it was."""
        left = list(self._deliveries.values())
        for delivery in left:
            self.settle(delivery, nak_payload(delay), finished=False)
        return len(left)

    def forget_finished(self) -> None:
        """Start anew, after the stream itself was made anew."""
        self._finished.clear()
        self._finished_before.clear()

    def start(self) -> None:
        """Begin to send signs of life, every third of `ack_wait`."""
        self._last_tick = time.monotonic()
        self._beating = asyncio.create_task(self._beat_regularly(), name="delivery-heartbeats")

    def stop(self) -> None:
        """Send no more signs of life."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until everything is settled; False when `timeout` seconds were not enough."""
        if self._deliveries:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._idle}, timeout=timeout)
        return not self._deliveries

    async def beat(self) -> None:
        """Send a sign of life for whatever was not held anew of late."""
        if not self._connection.is_connected:
            return
        now = time.monotonic()
        interval = self.ack_wait / 3
        due = [delivery for delivery in self._deliveries.values() if now - delivery.held_since >= interval / 2]
        if not due:
            return
        for delivery in due:
            self._send(delivery.reply, IN_PROGRESS)
        self._heartbeats.inc(len(due))
        # Only what the server has read counts: a half-open link takes everything and delivers nothing.
        if await self._confirmed():
            for delivery in due:
                delivery.held_since = max(delivery.held_since, now)

    def _held_up(self) -> bool:
        """Whether this process stood still for so long that what it reads now may not be its own any more."""
        return time.monotonic() - self._last_tick > self.ack_wait * _OWNED

    def _adopt(self, running: Delivery, again: Delivery, msg: Msg) -> None:
        """Take over a later delivery of what is being worked on."""
        # Each attempt comes at the earliest when the one before it ran out.
        earliest = running.held_since + self.ack_wait * (again.attempt - running.attempt)
        held_up = self._held_up()
        running.adopt(msg)
        if held_up:
            running.held_since = min(running.held_since, earliest)

    async def _beat_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._until_next_beat())
            if self._held_up():
                await self._confirmed()
            self._last_tick = time.monotonic()
            if self._overdue():
                await self._give_up_lost()
            await self.beat()

    def _until_next_beat(self) -> float:
        interval = self.ack_wait / 3
        if not self._deliveries:
            return interval
        oldest = min(delivery.held_since for delivery in self._deliveries.values())
        return min(interval, max(oldest + self.ack_wait * _OWNED - time.monotonic(), 0.005))

    def _overdue(self) -> list[Delivery]:
        oldest = time.monotonic() - self.ack_wait * _OWNED
        return [delivery for delivery in self._deliveries.values() if delivery.held_since < oldest]

    async def _give_up_lost(self) -> None:
        # After a loop that was held up, what came again to this very process still waits to be read.
        await self._confirmed()
        lost = self._overdue()
        for delivery in lost:
            del self._deliveries[delivery.key]
            self._lost.inc()
            log.warning(
                "a delivery was lost", extra={"subject": delivery.subject, "sequence": delivery.stream_sequence}
            )
            try:
                delivery.lose()
            except Exception:
                # What the owner does about it must not keep the other deliveries from being given up.
                metrics.SWALLOWED_ERRORS.of("on_lost").inc()
                log.exception("on_lost failed")
        if lost:
            self._free()

    async def _confirmed(self) -> bool:
        """Whether the server has read everything; then what it had sent was read here, too."""
        try:
            await self._connection.flush(timeout=timedelta(seconds=self.ack_wait / 3))
        except FleetError:
            return False
        return True

    def _remember(self, key: tuple[str, str]) -> None:
        self._finished.add(key)
        if len(self._finished) >= _REMEMBERED:
            self._finished_before = self._finished
            self._finished = set()

    def _free(self) -> None:
        if self._idle is not None and not self._deliveries:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None
        self._on_settled()

    def _send(self, reply: str, payload: bytes) -> None:
        try:
            self._connection.send(reply, payload)
        except FleetError:
            # Without a link and with a full buffer: the server delivers the message again after ack_wait.
            metrics.SWALLOWED_ERRORS.of("acknowledgement").inc()
