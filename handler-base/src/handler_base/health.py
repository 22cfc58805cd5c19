"""The HTTP server for probes and metrics: /health, /ready, /metrics.

/health says whether the event loop ticks, /ready whether the service takes work. A dependency that is away
shows as degraded in both and fails neither: what to do about it is the readiness function's choice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import msgspec

from handler_base.http import HttpResponse, HttpServer
from handler_base.telemetry import metrics as instruments

__all__ = ["Check", "HealthReport", "HealthServer", "LoopTicker"]

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        ok: Whether it is as it should be.
        detail: What is wrong, or a figure; safe to show.
    """

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What a probe is told.

    Attributes:
        checks: By name; one that is not ok makes the probe fail.
        degraded: What is missing, by dependency; makes no probe fail.
    """

    checks: Mapping[str, Check] = field(default_factory=dict)
    degraded: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every check is ok."""
        return all(check.ok for check in self.checks.values())

    @property
    def status(self) -> str:
        """``ok``, ``degraded`` or ``unavailable``."""
        if not self.ok:
            return "unavailable"
        return "degraded" if self.degraded else "ok"


class LoopTicker:
    """Measures how late the event loop wakes a timer, all the time, and exposes it as a metric.

    Args:
        interval: Time between two ticks.
        tolerance: Time without a tick after which the loop counts as stuck.
    """

    def __init__(
        self, interval: timedelta = timedelta(milliseconds=250), tolerance: timedelta = timedelta(seconds=5)
    ) -> None:
        self._interval = interval.total_seconds()
        self._tolerance = tolerance.total_seconds()
        self._task: asyncio.Task[None] | None = None
        self._last_tick = 0.0
        self.lag = 0.0
        """Seconds the last tick came late."""

    def start(self) -> None:
        """Tick in the background of the running event loop."""
        if self._task is None:
            self._last_tick = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="loop-ticker")

    async def stop(self) -> None:
        """Tick no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def check(self) -> Check:
        """Whether the loop has ticked lately."""
        if self._task is None:
            return Check(ok=False, detail="not started")
        silence = time.monotonic() - self._last_tick
        return Check(ok=silence < self._tolerance, detail=f"lag {self.lag * 1000:.1f} ms")

    async def _run(self) -> None:
        while True:
            due = time.monotonic() + self._interval
            await asyncio.sleep(self._interval)
            self._last_tick = time.monotonic()
            self.lag = max(0.0, self._last_tick - due)
            instruments.EVENT_LOOP_LAG.observe(self.lag)


class HealthServer:
    """Answers the probes of an orchestrator and the scrapes of Prometheus.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one, see `port`.
        liveness: Called for each /health, besides the event loop's own check.
        readiness: Called for each /ready.
        metrics: Returns the body of /metrics.
        ticker: Measures the event loop; started and stopped with the server.
    """

    def __init__(
        self,
        host: str,
        port: int,
        liveness: Callable[[], HealthReport],
        readiness: Callable[[], HealthReport],
        metrics: Callable[[], bytes] = instruments.render,
        *,
        ticker: LoopTicker | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._liveness = liveness
        self._readiness = readiness
        self._metrics = metrics
        self._ticker = ticker or LoopTicker()
        self._server = HttpServer(
            {"/health": self._answer_health, "/ready": self._answer_ready, "/metrics": self._answer_metrics}
        )

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._server.port or self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is in use or the address is not this machine's.
        """
        await self._server.start(self._host, self._port)
        self._ticker.start()

    async def stop(self) -> None:
        """Stop listening. May be called twice."""
        await self._ticker.stop()
        await self._server.stop()

    async def _answer_health(self) -> HttpResponse:
        report = _ask(self._liveness, "liveness")
        return _respond(HealthReport({"event_loop": self._ticker.check(), **report.checks}, report.degraded))

    async def _answer_ready(self) -> HttpResponse:
        return _respond(_ask(self._readiness, "readiness"))

    async def _answer_metrics(self) -> HttpResponse:
        # A full registry takes some 20 ms to render: too long for the event loop.
        body = await asyncio.to_thread(self._metrics)
        return HttpResponse(200, body, {"Content-Type": instruments.CONTENT_TYPE})


def _ask(source: Callable[[], HealthReport], name: str) -> HealthReport:
    try:
        return source()
    except Exception:
        # A probe that cannot be answered has failed, and says so.
        instruments.SWALLOWED_ERRORS.of(f"health_{name}").inc()
        logger.exception("The %s check failed", name)
        return HealthReport({name: Check(ok=False, detail="the check itself failed")})


def _respond(report: HealthReport) -> HttpResponse:
    body = msgspec.json.encode({"status": report.status, "checks": report.checks, "degraded": report.degraded})
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return HttpResponse(200 if report.ok else 503, body, headers)
