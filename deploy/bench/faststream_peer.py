"""The echo service as a FastStream team would write it: pydantic, OpenTelemetry and Prometheus switched on.

``python -m deploy.bench.faststream_peer NATS_URL SUBJECT OTLP_URL``
"""

from __future__ import annotations

import asyncio
import logging
import sys

import uvloop
from faststream import FastStream
from faststream.nats import NatsBroker
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from faststream.nats.prometheus import NatsPrometheusMiddleware
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

__all__ = ["EchoRequest", "EchoResponse", "main"]


class EchoRequest(BaseModel):
    """The fields of the contract's ChatRequest."""

    request_id: str = ""
    user_id: str = ""
    username: str = ""
    message: str = ""
    query: str = ""
    premium: bool = False
    enable_rag: bool = True
    enable_reranker: bool = True
    enable_streaming: bool | None = None
    top_k: int = 5
    collection: str = ""
    enable_tts: bool = False
    system_prompt: str = ""
    response_subject: str = ""
    session_id: str = ""
    language: str = "en"
    rerank_top_k: int = 3
    metadata: dict[str, str] = Field(default_factory=dict)


class EchoResponse(BaseModel):
    """The fields of the contract's ChatResponse that an echo fills."""

    user_id: str = ""
    response: str = ""
    response_text: str = ""
    success: bool = True
    request_id: str = ""


async def main(nats_url: str, subject: str, otlp_url: str) -> None:
    """Serve until the process is told to end."""
    provider = TracerProvider(resource=Resource.create({"service.name": "faststream-peer"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url}/v1/traces")))
    broker = NatsBroker(
        nats_url,
        middlewares=(
            NatsTelemetryMiddleware(tracer_provider=provider),
            NatsPrometheusMiddleware(registry=CollectorRegistry()),
        ),
    )

    async def echo(request: EchoRequest) -> EchoResponse:
        return EchoResponse(
            user_id=request.user_id,
            request_id=request.request_id,
            response=request.message,
            response_text=request.message,
        )

    async def announce() -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    broker.subscriber(subject, queue="peer")(echo)
    await FastStream(broker, after_startup=[announce]).run(log_level=logging.WARNING)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:4]))
