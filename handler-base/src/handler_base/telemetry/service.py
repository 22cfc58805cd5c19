"""Turns telemetry on for a service, as its settings ask."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from handler_base.config import Settings
from handler_base.telemetry import metrics
from handler_base.telemetry.exporter import MetricsPusher, OtlpSender, SpanExporter
from handler_base.telemetry.logs import configure_logging
from handler_base.telemetry.otlp import Resource, parse_pairs
from handler_base.telemetry.otlp_metrics import metrics_request
from handler_base.telemetry.tracing import Tracer, install

__all__ = ["SHUTDOWN_BUDGET", "Telemetry", "setup"]

SHUTDOWN_BUDGET: Final = timedelta(seconds=2)
"""Time the last spans and metrics may take to leave."""


class Telemetry:
    """What `setup` turned on.

    Attributes:
        tracing: Whether spans are recorded.
    """

    def __init__(
        self,
        sender: OtlpSender | None = None,
        exporter: SpanExporter | None = None,
        pusher: MetricsPusher | None = None,
    ) -> None:
        self._sender = sender
        self._exporter = exporter
        self._pusher = pusher

    @property
    def tracing(self) -> bool:
        """Whether spans are recorded."""
        return self._exporter is not None

    def start(self) -> None:
        """Start sending in the background; `setup` does it where an event loop runs already."""
        if self._exporter is not None:
            self._exporter.start()
        if self._pusher is not None:
            self._pusher.start()

    async def flush(self) -> None:
        """Send the spans that have ended by now."""
        if self._exporter is not None:
            await self._exporter.flush()

    async def shutdown(self, budget: timedelta = SHUTDOWN_BUDGET) -> None:
        """Turn tracing off and send what waits, within `budget`. May be called twice."""
        if self._sender is None:
            return
        sender, self._sender = self._sender, None
        install(None)
        parts = [part.shutdown(budget) for part in (self._exporter, self._pusher) if part is not None]
        await asyncio.gather(*parts)
        await sender.close()


def setup(settings: Settings, service_name: str, version: str) -> Telemetry:
    """Configure logs, and traces and pushed metrics where an endpoint is set.

    Args:
        settings: The ``OTEL_*`` and ``LOG_*`` settings count here.
        service_name: Such as ``chat-handler``.
        version: Version of the service.

    Returns:
        What to shut down when the service stops.
    """
    configure_logging(settings, service_name)
    if not settings.otel_exporter_otlp_endpoint:
        install(None)
        return Telemetry()
    headers = parse_pairs(settings.otel_exporter_otlp_headers.get_secret_value())
    sender = OtlpSender(settings.otel_exporter_otlp_endpoint, headers)
    resource = Resource.describe(service_name, version, settings.otel_resource_attributes)
    exporter = SpanExporter(sender, resource)
    pusher = None
    if settings.otel_metrics_interval > 0:
        encode = partial(metrics_request, metrics.REGISTRY, metrics.INSTRUMENTS.descriptions, resource)
        pusher = MetricsPusher(sender, encode, timedelta(seconds=settings.otel_metrics_interval))
    install(Tracer(exporter.submit, settings.otel_traces_sampler_arg))
    telemetry = Telemetry(sender, exporter, pusher)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return telemetry
    telemetry.start()
    return telemetry
