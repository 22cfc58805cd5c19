"""The life of a service: connect, warm up, subscribe, be ready; and the way back, losing nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from handler_base.config import Settings
from handler_base.errors import FleetError
from handler_base.handler.admission import Admission
from handler_base.handler.dispatch import Dispatcher
from handler_base.handler.endpoints import Endpoint, consumers_of, endpoints_of, stream_of
from handler_base.handler.handler import Handler, Worker
from handler_base.handler.running import RunningRequests
from handler_base.handler.sender import Sender
from handler_base.health import Check, HealthReport, HealthServer
from handler_base.live import LiveRouter, live_endpoints_of
from handler_base.messages.streams import AI_DEAD_LETTER, AI_EVENTS, BucketSpec, StreamSpec
from handler_base.messages.subjects import Subject
from handler_base.nats_client import (
    DeadLetters,
    Delivery,
    EndpointStats,
    EventLog,
    FailurePolicy,
    Msg,
    NatsConnection,
    PullConsumer,
    ServiceResponder,
    StreamManager,
    Subscription,
    options_from_settings,
)
from handler_base.telemetry import Telemetry, metrics, setup

__all__ = ["Service"]

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

_PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (0.5, 2, 8, 30))
"""After each failed attempt at durable work: somebody waits for the answer."""

_CLOSING: Final = timedelta(seconds=5)
"""Kept for flushing and closing, on top of the drain budget; handlers cannot spend it."""


class Service:
    """Runs one handler.

    Args:
        handler: What answers.
    """

    def __init__(self, handler: Handler[S]) -> None:
        settings = handler.settings
        self.handler = handler
        self.connection = NatsConnection(options_from_settings(settings, handler.name))
        self._settings: Settings = settings
        self._endpoints = endpoints_of(type(handler))
        self._running = RunningRequests()
        self._admission = Admission(settings.max_concurrency, settings.queue_size)
        self._policy = FailurePolicy(max_deliver=settings.max_deliver, schedule=_PAUSES)
        self._streams = StreamManager(self.connection, settings.stream_replicas)
        self._dead_letters = DeadLetters(self.connection)
        self._responder = ServiceResponder(
            self.connection,
            name=handler.name,
            version=handler.version,
            description=handler.description,
            metadata=handler.metadata,
        )
        self._dispatcher = Dispatcher(
            settings,
            {endpoint.method: getattr(handler, endpoint.method) for endpoint in self._endpoints},
            sender=Sender(self.connection),
            admission=self._admission,
            running=self._running,
            policy=self._policy,
            dead_letter=self._give_up,
        )
        self._health = HealthServer(
            settings.health_host, settings.health_port, HealthReport, self._readiness, self._render
        )
        self._telemetry: Telemetry | None = None
        self._subscriptions: list[Subscription] = []
        self._consumers: list[PullConsumer] = []
        self._workers: list[Worker] = []
        self._live: list[LiveRouter] = []
        self._state = "starting"
        self._differences: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it takes work."""
        return self._readiness().ok

    @property
    def in_flight(self) -> int:
        """Messages that were taken and are not settled."""
        return self._dispatcher.in_flight

    @property
    def health_port(self) -> int:
        """Where /health, /ready and /metrics are."""
        return self._health.port

    async def start(self) -> None:
        """Become ready: connect, make the streams, warm up, subscribe, flush.

        Waits for NATS however long it takes; until then /ready says so.
        """
        began = time.perf_counter()
        self._telemetry = setup(self._settings, self.handler.name, self.handler.version)
        await self._health.start()
        await self.connection.connect()
        await self._ensure_streams()
        self._open_events()
        await self.handler.open()
        await self._start_workers()
        await self._consume()
        await self._subscribe()
        await self._start_live()
        await self._responder.start()
        await self.connection.flush()
        self._state = "ready"
        log.info("ready", extra={"seconds": round(time.perf_counter() - began, 3)})

    async def stop(self) -> None:
        """Stop without loss: take no more, finish what runs, hand the rest back, close."""
        self._state = "draining"
        log.info("stopping", extra={"in_flight": self._dispatcher.in_flight})
        await asyncio.gather(
            *(subscription.drain() for subscription in self._subscriptions),
            *(consumer.stop() for consumer in self._consumers),
        )
        budget = timedelta(seconds=self._settings.drain_timeout)
        await asyncio.gather(self._dispatcher.drain(budget), *(live.stop(budget) for live in self._live))
        while self._workers:
            await self._workers.pop().stop(_CLOSING)
        events, self._dispatcher.events = self._dispatcher.events, None
        if events is not None:
            await events.close()
        await self._responder.stop()
        await self._dead_letters.close()
        for consumer in self._consumers:
            await consumer.close()
        await self.connection.close(budget=_CLOSING)
        await self.handler.close()
        await self._health.stop()
        if self._telemetry is not None:
            await self._telemetry.shutdown()
        self._state = "stopped"

    async def _ensure_streams(self) -> None:
        durable = [stream_of(subject) for endpoint in self._endpoints for subject in endpoint.durable]
        used: dict[str, StreamSpec] = {stream.name: stream for stream in (*durable, *self.handler.streams)}
        if durable:
            used[AI_DEAD_LETTER.name] = AI_DEAD_LETTER
        if self.handler.events is not None and self._settings.events:
            used[AI_EVENTS.name] = AI_EVENTS
        specs: tuple[StreamSpec | BucketSpec, ...] = (*used.values(), *self.handler.buckets)
        if self._settings.streams_mode == "create":
            self._differences = await self._streams.ensure(specs)
        else:
            self._differences = await self._streams.verify(specs)
        for difference in self._differences:
            log.error("a stream is not as the contract says", extra={"difference": difference})

    def _open_events(self) -> None:
        if self.handler.events is not None and self._settings.events:
            self._dispatcher.events = EventLog(self.connection, self.handler.events)

    async def _start_workers(self) -> None:
        for worker in self.handler.workers(self.connection):
            await worker.start()
            self._workers.append(worker)

    async def _consume(self) -> None:
        """Pull durable work, with one consumer a stream."""
        routes: dict[str, list[tuple[Endpoint, Subject, EndpointStats]]] = {}
        for endpoint in self._endpoints:
            for subject in endpoint.durable:
                stats = self._responder.add_endpoint(endpoint.method, subject.pattern, queue_group="")
                stats.data = self._figures
                routes.setdefault(stream_of(subject).name, []).append((endpoint, subject, stats))
        for spec in consumers_of(self.handler.name, self._endpoints, self._settings):
            consumer = PullConsumer(
                self.connection,
                spec,
                partial(self._deliver, routes[spec.stream]),
                slots=self._settings.max_concurrency,
                credit=lambda: self._admission.free,
                create=self._settings.streams_mode == "create",
                ensure_stream=self._ensure_streams,
            )
            self._consumers.append(consumer)
            await self._dead_letters.sweep(spec.stream, spec.durable)
            await consumer.start()

    def _deliver(self, routed: list[tuple[Endpoint, Subject, EndpointStats]], delivery: Delivery) -> None:
        for endpoint, subject, stats in routed:
            if subject.match(delivery.subject) is not None:
                self._dispatcher.take_delivery(endpoint, subject, stats, delivery)
                return

    async def _subscribe(self) -> None:
        cancels: dict[str, Subject] = {}
        for endpoint in self._endpoints:
            for subject in endpoint.core:
                stats = self._responder.add_endpoint(endpoint.method, subject.pattern, queue_group=self.handler.name)
                stats.data = self._figures
                take = partial(self._dispatcher.take, endpoint, subject, stats)
                self._subscriptions.append(
                    await self.connection.subscribe(subject.pattern, take, queue=self.handler.name)
                )
            if endpoint.cancel is not None:
                cancels[endpoint.cancel.template] = endpoint.cancel
        for subject in cancels.values():
            self._subscriptions.append(await self.connection.subscribe(subject.pattern, partial(self._cancel, subject)))

    async def _start_live(self) -> None:
        """Take sessions: the messages of each come to one replica."""
        for endpoint in live_endpoints_of(type(self.handler)):
            stats = self._responder.add_endpoint(
                endpoint.method, endpoint.subject.pattern, queue_group=self.handler.name
            )
            stats.data = self._figures
            router = LiveRouter(
                endpoint,
                getattr(self.handler, endpoint.method),
                self.connection,
                group=self.handler.name,
                limits=endpoint.limits(self._settings),
                stats=stats,
                events=self._dispatcher.events,
            )
            self._live.append(router)
            await router.start()

    def _cancel(self, subject: Subject, msg: Msg) -> None:
        """Stop the request named by the subject; the body holds nothing that is needed."""
        tokens = subject.match(msg.subject)
        if tokens is not None:
            self._running.cancel(tokens["request_id"])

    async def _give_up(self, delivery: Delivery, error: FleetError) -> None:
        await self._dead_letters.bury(delivery, reason=error.type.value, description=error.message)

    def _readiness(self) -> HealthReport:
        checks = {
            "lifecycle": Check(self._state == "ready", self._state),
            "nats": Check(self.connection.is_connected, "" if self.connection.is_connected else "not connected"),
            "streams": Check(not self._differences, "; ".join(self._differences)),
        }
        for live in self._live:
            checks["sessions"] = Check(live.healthy, "" if live.healthy else "their bucket does not answer")
        for consumer in self._consumers:
            checks[f"consumer {consumer.spec.stream}"] = Check(consumer.healthy, consumer.trouble)
        degraded = {name: "away" for name, works in self.handler.dependencies().items() if not works}
        return HealthReport(checks, degraded)

    def _figures(self) -> dict[str, object]:
        """Return what `$SRV.STATS` says of the whole service besides its counts."""
        report = self._readiness()
        missing = [name for name, check in report.checks.items() if not check.ok] or list(report.degraded)
        return {
            "health": f"{report.status}: {', '.join(missing)}" if missing else report.status,
            "in_flight": self.in_flight,
            "waiting": self._admission.waiting,
        }

    def _render(self) -> bytes:
        metrics.READY.set(1 if self._readiness().ok else 0)
        for consumer in self._consumers:
            metrics.CONSUMER_LAG.of(consumer.spec.stream, consumer.spec.durable).set(consumer.lag)
        metrics.QUEUE_DEPTH.of("all").set(self._admission.waiting)
        metrics.REQUESTS_IN_FLIGHT.of("all").set(self._dispatcher.in_flight)
        for live in self._live:
            metrics.LIVE_SESSIONS.of(live.template).set(live.sessions)
        for name, works in self.handler.dependencies().items():
            metrics.DEGRADED_DEPENDENCIES.of(name).set(0 if works else 1)
        return metrics.render()
