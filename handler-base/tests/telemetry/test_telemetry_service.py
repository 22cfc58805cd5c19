from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import pytest
from pydantic import SecretStr

from handler_base.config import Settings
from handler_base.telemetry import setup, span
from handler_base.testing.otlp import OtlpReceiver


async def test_without_an_endpoint_nothing_is_recorded() -> None:
    telemetry = setup(Settings(), "chat-handler", "1.0")
    assert not telemetry.tracing
    with span("a") as current:
        assert not current.recording
    telemetry.start()
    await telemetry.flush()
    await telemetry.shutdown()


async def test_spans_and_metrics_of_a_service_leave_until_it_stops(receiver: OtlpReceiver) -> None:
    settings = Settings(
        otel_exporter_otlp_endpoint=receiver.url,
        otel_exporter_otlp_headers=SecretStr("x-api-key=a%20b, ignored ,=x"),
        otel_resource_attributes="service.name=renamed,team=blue",
        otel_metrics_interval=3600,
    )
    telemetry = setup(settings, "chat-handler", "1.0")
    assert telemetry.tracing
    with span("a"):
        pass
    await telemetry.flush()
    with span("b"):
        pass
    await telemetry.shutdown()
    await telemetry.shutdown()
    traces = [json.loads(body) for body in receiver.bodies("/v1/traces")]
    names = [item["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for item in traces]
    assert names == ["a", "b"]
    assert len(receiver.bodies("/v1/metrics")) == 1
    attributes = traces[0]["resourceSpans"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "renamed"}} in attributes
    assert {"key": "team", "value": {"stringValue": "blue"}} in attributes
    assert receiver.requests[0].headers["x-api-key"] == "a b"
    with span("c") as late:
        assert not late.recording


async def test_the_sampler_setting_counts(receiver: OtlpReceiver) -> None:
    settings = Settings(otel_exporter_otlp_endpoint=receiver.url, otel_traces_sampler_arg=0)
    telemetry = setup(settings, "chat-handler", "1.0")
    with span("a") as current:
        assert not current.recording
        assert current.context is not None
    await telemetry.shutdown()
    assert receiver.requests == []


async def test_a_receiver_that_hangs_does_not_hold_the_service(receiver: OtlpReceiver) -> None:
    telemetry = setup(
        Settings(otel_exporter_otlp_endpoint=receiver.url, otel_metrics_interval=3600), "chat-handler", "1.0"
    )
    receiver.accepting.clear()
    with span("a"):
        pass
    async with asyncio.timeout(2):
        await telemetry.shutdown(timedelta(milliseconds=50))


def test_setup_before_the_event_loop_runs_sends_once_it_is_started() -> None:
    async def run() -> list[bytes]:
        async with OtlpReceiver.serve() as receiver:
            settings = Settings(otel_exporter_otlp_endpoint=receiver.url)
            telemetry = await asyncio.to_thread(setup, settings, "chat-handler", "1.0")
            with span("a"):
                pass
            telemetry.start()
            await telemetry.shutdown()
            return receiver.bodies("/v1/traces")

    assert len(asyncio.run(run())) == 1


async def test_a_log_line_of_a_configured_service_has_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Settings(), "stt-module", "1.0")
    logging.getLogger("x").warning("hello")
    assert json.loads(capsys.readouterr().err)["service"] == "stt-module"
