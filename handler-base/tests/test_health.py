from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from handler_base.health import Check, HealthReport, HealthServer, LoopTicker
from handler_base.telemetry import metrics


class Service:
    """What the probes are told."""

    def __init__(self) -> None:
        self.live = HealthReport({"connection": Check(ok=True)})
        self.ready = HealthReport({"nats": Check(ok=True), "warm": Check(ok=True, detail="2 s")})


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def ticker() -> LoopTicker:
    return LoopTicker(interval=timedelta(milliseconds=5), tolerance=timedelta(milliseconds=200))


@pytest.fixture
async def server(service: Service, ticker: LoopTicker) -> AsyncIterator[HealthServer]:
    result = HealthServer("127.0.0.1", 0, lambda: service.live, lambda: service.ready, ticker=ticker)
    await result.start()
    yield result
    await result.stop()
    await result.stop()


@pytest.fixture
async def get(server: HealthServer) -> AsyncIterator[Callable[[str], Any]]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

        async def fetch(path: str) -> tuple[int, dict[str, Any]]:
            async with session.get(path) as response:
                return response.status, await response.json()

        yield fetch


async def test_all_is_well(get: Callable[[str], Any]) -> None:
    status, body = await get("/health")
    assert status == 200
    assert body["status"] == "ok"
    assert body["checks"]["connection"] == {"ok": True, "detail": ""}
    assert body["checks"]["event_loop"]["ok"] is True
    status, body = await get("/ready")
    assert status == 200
    assert body == {
        "status": "ok",
        "checks": {"nats": {"ok": True, "detail": ""}, "warm": {"ok": True, "detail": "2 s"}},
        "degraded": {},
    }


async def test_a_failed_check_makes_it_unavailable_and_is_named(get: Callable[[str], Any], service: Service) -> None:
    service.ready = HealthReport({"nats": Check(ok=False, detail="reconnecting"), "warm": Check(ok=True)})
    status, body = await get("/ready")
    assert status == 503
    assert body["status"] == "unavailable"
    assert body["checks"]["nats"] == {"ok": False, "detail": "reconnecting"}
    assert (await get("/health"))[0] == 200


async def test_a_dependency_that_is_away_degrades_and_no_more(get: Callable[[str], Any], service: Service) -> None:
    service.ready = HealthReport({"nats": Check(ok=True)}, {"reranker": "circuit open"})
    status, body = await get("/ready")
    assert status == 200
    assert body["status"] == "degraded"
    assert body["degraded"] == {"reranker": "circuit open"}


async def test_a_check_that_raises_has_failed(
    get: Callable[[str], Any], service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics.REGISTRY.get_sample_value("fleet_swallowed_errors_total", {"where": "health_readiness"}) or 0
    del service.ready
    status, body = await get("/ready")
    assert status == 503
    assert body["checks"] == {"readiness": {"ok": False, "detail": "the check itself failed"}}
    assert (
        metrics.REGISTRY.get_sample_value("fleet_swallowed_errors_total", {"where": "health_readiness"}) == before + 1
    )
    assert "readiness" in caplog.text


async def test_liveness_of_the_service_counts_too(get: Callable[[str], Any], service: Service) -> None:
    service.live = HealthReport({"connection": Check(ok=False, detail="closed")})
    assert (await get("/health"))[0] == 503


async def test_metrics_are_in_prometheus_format(server: HealthServer) -> None:
    url = f"http://127.0.0.1:{server.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == metrics.CONTENT_TYPE
        assert "fleet_event_loop_lag_seconds_bucket" in await response.text()


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/health", 405), ("GET", "/other", 404)])
async def test_nothing_else_is_served(server: HealthServer, method: str, path: str, status: int) -> None:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        assert response.status == status


async def test_a_port_in_use_is_told(server: HealthServer) -> None:
    second = HealthServer("127.0.0.1", server.port, HealthReport, HealthReport)
    with pytest.raises(OSError, match=str(server.port)):
        await second.start()
    await second.stop()


async def test_the_port_is_free_after_the_stop(server: HealthServer) -> None:
    await server.stop()
    second = HealthServer("127.0.0.1", server.port, HealthReport, HealthReport)
    await second.start()
    await second.stop()


def test_a_ticker_that_was_never_started_is_not_alive(ticker: LoopTicker) -> None:
    assert ticker.check() == Check(ok=False, detail="not started")


async def test_a_blocked_loop_shows_as_lag_and_then_as_dead(ticker: LoopTicker) -> None:
    before = metrics.REGISTRY.get_sample_value("fleet_event_loop_lag_seconds_count") or 0
    ticker.start()
    ticker.start()
    await _ticks(before + 1)
    assert ticker.check().ok
    # The blocking call is the fault under test.
    time.sleep(0.25)  # noqa: ASYNC251
    assert not ticker.check().ok
    ticks = metrics.REGISTRY.get_sample_value("fleet_event_loop_lag_seconds_count") or 0
    await _ticks(ticks + 1)
    assert ticker.check().ok
    lags = metrics.REGISTRY.get_sample_value("fleet_event_loop_lag_seconds_sum") or 0
    assert lags >= 0.2
    await ticker.stop()
    assert not ticker.check().ok


async def _ticks(count: float) -> None:
    async with asyncio.timeout(5):
        while (metrics.REGISTRY.get_sample_value("fleet_event_loop_lag_seconds_count") or 0) < count:  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0)
