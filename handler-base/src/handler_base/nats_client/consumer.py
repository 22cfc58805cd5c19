"""Pulls durable work by credit: as many messages as there are free slots."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError, NotFoundError
from handler_base.nats_client._backoff import Backoff
from handler_base.nats_client._in_flight import InFlight
from handler_base.nats_client._pull_ledger import PullLedger
from handler_base.nats_client._pull_status import Verdict, classify, last_stream_sequence, messages_left
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.consumer_setup import ConsumerSpec, ensure_consumer
from handler_base.nats_client.delivery import Delivery
from handler_base.nats_client.jetstream_api import ConsumerInfo, JetStreamApi
from handler_base.nats_client.subscription import Subscription
from handler_base.telemetry import metrics

__all__ = ["ConsumerSpec", "Delivery", "PullConsumer"]

log = logging.getLogger(__name__)

_LARGEST_BATCH: Final = 256
_GRACE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 2.0


class PullConsumer:
    """Keeps as many pulls open as there are free slots, through restarts and repairs.

    Args:
        connection: To the server.
        spec: The durable consumer.
        on_delivery: Takes a delivery over; called on the event loop, it must not block. The slot is free again when
            the delivery is settled or lost.
        slots: Most deliveries held at once.
        credit: Returns how many more may be taken right now, where something else than `slots` bounds it as well.
            Call `refresh` when it grows.
        create: Whether the consumer may be made and changed; otherwise it is only checked.
        ensure_stream: Makes the stream again when it was deleted; None waits until someone else does.
        expires: How long one pull stays open.
        idle_heartbeat: Between the server's signs of life while nothing comes.

    Attributes:
        trouble: Why nothing can be pulled; empty while all is well.
    """

    def __init__(
        self,
        connection: NatsConnection,
        spec: ConsumerSpec,
        on_delivery: Callable[[Delivery], object],
        *,
        slots: int,
        credit: Callable[[], int] | None = None,
        create: bool = True,
        ensure_stream: Callable[[], Awaitable[object]] | None = None,
        expires: timedelta = timedelta(seconds=30),
        idle_heartbeat: timedelta = timedelta(seconds=5),
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._on_delivery = on_delivery
        self._slots = slots
        self._credit = credit
        self._create = create
        self._ensure_stream = ensure_stream
        self._expires = expires.total_seconds()
        self._idle_heartbeat = idle_heartbeat.total_seconds()
        self._api = JetStreamApi(connection)
        self._in_flight = InFlight(connection, spec.stream, spec.durable, self._pull_soon)
        self._ledger = PullLedger()
        self._backoff = Backoff(0.05, 10.0)
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._repairing = False
        self._retry_now = asyncio.Event()
        self._pulling = False
        self._scheduled = False
        self._not_before = 0.0
        self._last_heard = 0.0
        self._last_sequence = 0
        self._behind = 0
        self._end_reconnect: Callable[[], None] | None = None
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.durable}"
        self.trouble = "not started"

    @property
    def spec(self) -> ConsumerSpec:
        """The durable consumer."""
        return self._spec

    @property
    def healthy(self) -> bool:
        """Whether the consumer exists and is being pulled from."""
        return not self.trouble and self._pulling and self._connection.is_connected

    @property
    def in_flight(self) -> int:
        """Deliveries that are not settled."""
        return len(self._in_flight)

    @property
    def pending(self) -> int:
        """Messages that were asked for and have not come."""
        return self._ledger.pending

    @property
    def lag(self) -> int:
        """Messages that wait on the server, as of the last sign of it, and those in flight here."""
        return self._behind + len(self._in_flight)

    @property
    def ack_wait(self) -> timedelta:
        """How long the server waits for a sign of life, as the server says."""
        return timedelta(seconds=self._in_flight.ack_wait)

    async def start(self) -> None:
        """Make or check the consumer, and begin to pull.

        Raises:
            NotFoundError: The stream or consumer does not exist.
            InternalError: The consumer differs and may not, or cannot, be changed.
            UpstreamUnavailableError: JetStream is away.
        """
        try:
            self._note(await ensure_consumer(self._api, self._spec, create=self._create))
        except FleetError as error:
            self.trouble = error.message
            raise
        self.trouble = ""
        self._pulling = True
        self._end_reconnect = self._connection.on_reconnect(self._on_reconnect)
        self._in_flight.start()
        self._run(self._watch())
        self._run(self._look_behind())
        self._pull_anew()

    async def stop(self, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Pull no more; when this returns, the last delivery was handed over. What is in flight stays alive."""
        self._pulling = False
        for task in self._tasks:
            task.cancel()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.drain(timeout=timeout)
        self._ledger.clear()

    async def wait_idle(self, timeout: timedelta) -> bool:
        """Wait until all that was delivered is settled; False when `timeout` was not enough."""
        return await self._in_flight.wait_idle(timeout.total_seconds())

    async def close(self, *, hand_back: timedelta = timedelta(seconds=1)) -> None:
        """Stop, and hand back what is not settled, to be delivered again after `hand_back`."""
        if self._pulling:
            await self.stop()
        if self._end_reconnect is not None:
            self._end_reconnect()
            self._end_reconnect = None
        handed_back = self._in_flight.hand_back(hand_back)
        self._in_flight.stop()
        if handed_back:
            log.info("handed work back", extra={"consumer": self._spec.durable, "messages": handed_back})

    def refresh(self) -> None:
        """Look at the credit again, because it may have grown."""
        self._pull_soon()

    def _note(self, info: ConsumerInfo) -> None:
        ack_wait = info.config.get("ack_wait")
        if isinstance(ack_wait, int) and ack_wait > 0:
            self._in_flight.ack_wait = ack_wait / 1e9
        self._last_sequence = max(self._last_sequence, info.delivered.stream_seq)
        self._behind = info.num_pending

    def _on_reconnect(self) -> None:
        self._run(self._in_flight.beat())
        if self._repairing:
            self._backoff.reset()
            self._retry_now.set()
        elif self._pulling:
            self._pull_anew()

    def _pull_anew(self) -> None:
        """Leave all open pulls behind, by leaving the inbox they answer to, and pull."""
        old = self._subscription
        if old is not None:
            self._run(old.drain())
        self._ledger.clear()
        self._inbox = self._connection.new_inbox()
        self._subscription = self._connection.listen(f"{self._inbox}.*", self._on_message)
        self._last_heard = time.monotonic()
        self._not_before = 0.0
        self._pull()

    def _pull_soon(self) -> None:
        if self._scheduled or not self._pulling:
            return
        pending = self._ledger.pending
        slots = self._slots
        free = slots - len(self._in_flight) - pending
        # Credit is asked for in bulk: a pull for each message would cost as much as the message.
        if free > 0 and (pending <= slots // 4 or free >= slots // 2):
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pull)

    def _pull(self) -> None:
        self._scheduled = False
        if not self._pulling or self._repairing or not self._connection.is_connected:
            return
        now = time.monotonic()
        if now < self._not_before:
            self._pull_later(self._not_before - now)
            return
        free = self._slots - len(self._in_flight) - self._ledger.pending
        if self._credit is not None:
            free = min(free, self._credit() - self._ledger.pending)
        if free > 0 and self._ledger.pending == 0:
            self._last_heard = now
        while free > 0:
            batch = min(free, _LARGEST_BATCH)
            token = self._ledger.opened(batch, now + self._expires + _GRACE_SECONDS)
            self._connection.send(self._next, self._request(batch), reply=f"{self._inbox}.{token}")
            free -= batch

    def _pull_later(self, seconds: float) -> None:
        self._scheduled = True
        asyncio.get_running_loop().call_later(seconds, self._pull)

    def _request(self, batch: int) -> bytes:
        return b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (
            batch,
            int(self._expires * 1e9),
            int(self._idle_heartbeat * 1e9),
        )

    def _on_message(self, msg: Msg) -> None:
        self._last_heard = time.monotonic()
        if msg.status or not msg.reply:
            self._on_status(msg)
            return
        self._ledger.received()
        if self._backoff.failures:
            self._backoff.reset()
        delivery = self._in_flight.take(msg)
        if delivery is None:
            self._pull_soon()
            return
        self._last_sequence = max(self._last_sequence, delivery.stream_sequence)
        self._behind = delivery.behind
        try:
            self._on_delivery(delivery)
        finally:
            self._pull_soon()

    def _on_status(self, msg: Msg) -> None:
        token = msg.subject.rpartition(".")[2]
        verdict = classify(msg.status, msg.description)
        if not self._ledger.knows(token):
            return
        if verdict is Verdict.HEARTBEAT:
            self._backoff.reset()
            self._behind = 0
            self._last_sequence = max(self._last_sequence, last_stream_sequence(msg.headers) or 0)
            return
        self._ledger.closed(token, messages_left(msg.headers))
        if verdict is Verdict.ENDED:
            self._backoff.reset()
            self._pull_soon()
            return
        log.warning(
            "a pull was refused",
            extra={"consumer": self._spec.durable, "status": msg.status, "description": msg.description},
        )
        if verdict is Verdict.GONE:
            self._repair_soon(msg.description or "nobody serves the consumer")
        else:
            self._not_before = time.monotonic() + self._backoff.pause()
            self._pull_soon()

    def _repair_soon(self, problem: str) -> None:
        if not self._repairing and self._pulling:
            self._repairing = True
            self.trouble = f"Consumer {self._spec.durable} of {self._spec.stream}: {problem.lower()}."
            self._run(self._repair())

    async def _repair(self) -> None:
        try:
            while True:
                await self._wait_to_retry()
                if not self._connection.is_connected:
                    continue
                try:
                    await self._ensure_again()
                    break
                except FleetError as error:
                    self.trouble = error.message
                    log.warning("a consumer cannot be pulled from", extra={"problem": error.message})
        finally:
            self._repairing = False
        self.trouble = ""
        self._pull_anew()

    async def _wait_to_retry(self) -> None:
        self._retry_now.clear()
        try:
            async with asyncio.timeout(self._backoff.pause()):
                await self._retry_now.wait()
        except TimeoutError:
            return

    async def _ensure_again(self) -> None:
        try:
            info = await ensure_consumer(self._api, self._spec, create=self._create, resume_after=self._last_sequence)
        except NotFoundError:
            if self._ensure_stream is None or not self._create:
                raise
            await self._ensure_stream()
            info = await ensure_consumer(self._api, self._spec, create=self._create, resume_after=self._last_sequence)
        if info.delivered.stream_seq < self._last_sequence and info.config.get("deliver_policy") == "all":
            self._in_flight.forget_finished()
            self._last_sequence = 0
        self._note(info)

    async def _watch(self) -> None:
        """Pull anew when the server's heartbeats stay out, and when the credit grew unnoticed."""
        patience = 2 * self._idle_heartbeat + _GRACE_SECONDS
        while True:
            await asyncio.sleep(min(self._idle_heartbeat / 2, 1.0))
            now = time.monotonic()
            self._ledger.expire(now)
            if self._repairing or not self._connection.is_connected:
                continue
            if self._ledger.pending and now - self._last_heard > patience:
                log.warning("no heartbeat of the server, pulling anew", extra={"consumer": self._spec.durable})
                metrics.SWALLOWED_ERRORS.of("missed_heartbeats").inc()
                self._pull_anew()
            else:
                self._pull_soon()

    async def _look_behind(self) -> None:
        """Ask how much waits while every slot is taken, and so neither a message nor a heartbeat tells."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._ledger.pending or self._repairing or not self._connection.is_connected:
                continue
            try:
                info = await self._api.consumer_info(self._spec.stream, self._spec.durable)
            except FleetError:
                continue  # what is wrong shows where work is pulled
            if isinstance(info, ConsumerInfo):
                self._behind = info.num_pending

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
