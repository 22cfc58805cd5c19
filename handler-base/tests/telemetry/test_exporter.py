from __future__ import annotations

import asyncio
import json
import logging
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from handler_base.telemetry import AttributeValue, SpanContext, SpanKind, span, start_span
from handler_base.telemetry.exporter import MetricsPusher, OtlpSender, SendResult, SpanExporter
from handler_base.telemetry.otlp import MAX_TEXT, Resource
from handler_base.telemetry.tracing import Tracer, install
from handler_base.testing.otlp import OtlpReceiver

Counted = Callable[..., float]

REMOTE = SpanContext(
    "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True, trace_state="a=1", remote=True
)
RESOURCE = Resource.describe("chat-handler", "1.2.3", "deployment.environment.name=test%20bed")
SOON = timedelta(milliseconds=10)


@pytest.fixture
async def sender(receiver: OtlpReceiver) -> AsyncIterator[OtlpSender]:
    result = OtlpSender(receiver.url + "/", {"Authorization": "Bearer hunter2"}, timeout=timedelta(seconds=2))
    yield result
    await result.close()


@pytest.fixture
async def exporter(sender: OtlpSender) -> AsyncIterator[SpanExporter]:
    result = SpanExporter(sender, RESOURCE, batch_size=4, queue_size=16, interval=SOON, retry_delay=SOON)
    install(Tracer(result.submit))
    yield result
    await result.shutdown(timedelta(seconds=1))


def make_spans(count: int) -> None:
    for number in range(count):
        start_span(f"s{number}", parent=None).end()


def parse(body: bytes) -> ExportTraceServiceRequest:
    """OTLP's JSON has ids in hexadecimal, where Protocol Buffers' own JSON mapping wants base64."""
    content = json.loads(body, object_hook=_with_base64_ids)
    return json_format.ParseDict(content, ExportTraceServiceRequest())


def _with_base64_ids(content: dict[str, object]) -> dict[str, object]:
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        key: b64encode(bytes.fromhex(value)).decode() if key in ids and isinstance(value, str) else value
        for key, value in content.items()
    }


def names_sent(receiver: OtlpReceiver) -> list[str]:
    return [
        item.name
        for body in receiver.bodies("/v1/traces")
        for item in parse(body).resource_spans[0].scope_spans[0].spans
    ]


async def test_a_span_arrives_whole(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    values: dict[str, AttributeValue] = {
        "text": 'ü\n"',
        "number": -(2**62),
        "yes": True,
        "half": 0.5,
        "none": float("nan"),
        "list": ["a", "b"],
    }
    with pytest.raises(TimeoutError), span("process x", SpanKind.CONSUMER, values, parent=REMOTE, links=[REMOTE]):
        raise TimeoutError
    await exporter.flush()
    resource_spans = parse(receiver.requests[0].body).resource_spans[0]
    resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
    assert resource["service.name"] == "chat-handler"
    assert resource["service.version"] == "1.2.3"
    assert len(resource["service.instance.id"]) == 36
    assert resource["deployment.environment.name"] == "test bed"
    (sent,) = resource_spans.scope_spans[0].spans
    assert sent.name == "process x"
    assert sent.kind == sent.SPAN_KIND_CONSUMER
    assert sent.trace_id.hex() == REMOTE.trace_id
    assert sent.parent_span_id.hex() == REMOTE.span_id
    assert len(sent.span_id) == 8
    assert sent.trace_state == "a=1"
    assert sent.flags == 0x301
    assert 0 < sent.start_time_unix_nano <= sent.end_time_unix_nano
    attributes = {item.key: item.value for item in sent.attributes}
    assert attributes["text"].string_value == 'ü\n"'
    assert attributes["number"].int_value == -(2**62)
    assert attributes["yes"].bool_value is True
    assert attributes["half"].double_value == 0.5
    assert str(attributes["none"].double_value) == "nan"
    assert [item.string_value for item in attributes["list"].array_value.values] == ["a", "b"]
    assert attributes["error.type"].string_value == "TimeoutError"
    assert sent.status.code == sent.status.STATUS_CODE_ERROR
    assert sent.events[0].name == "exception"
    assert sent.links[0].trace_id.hex() == REMOTE.trace_id


async def test_a_local_child_names_its_parent_as_local(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    with span("parent", parent=None), span("child"):
        pass
    await exporter.flush()
    child, parent = parse(receiver.requests[0].body).resource_spans[0].scope_spans[0].spans
    assert child.parent_span_id == parent.span_id
    assert child.flags == parent.flags == 0x101
    assert parent.parent_span_id == b""
    assert parent.status.code == parent.status.STATUS_CODE_UNSET


async def test_odd_values_are_bounded_or_told_as_text(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    current = start_span("a", attributes={"long": "x" * 10_000, "up": float("inf"), "down": float("-inf")})
    current.set("kind", SpanKind.CLIENT)
    current.set("odd", object())  # type: ignore[arg-type]  # what a careless caller may do
    current.end()
    await exporter.flush()
    (sent,) = parse(receiver.requests[0].body).resource_spans[0].scope_spans[0].spans
    attributes = {item.key: item.value for item in sent.attributes}
    assert len(attributes["long"].string_value) == MAX_TEXT
    assert attributes["up"].double_value == float("inf")
    assert attributes["down"].double_value == float("-inf")
    assert attributes["kind"].int_value == SpanKind.CLIENT
    assert attributes["odd"].string_value.startswith("<object")


async def test_a_span_that_cannot_be_encoded_does_not_take_others_with_it(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted
) -> None:
    start_span("good").end()
    start_span("bad", attributes={"k": "\ud800"}).end()
    await exporter.flush()
    assert names_sent(receiver) == ["good"]
    assert counted("fleet_dropped_spans_total", reason="encoding") == 1
    assert counted("fleet_exported_spans_total") == 1


async def test_a_batch_of_nothing_but_bad_spans_sends_nothing(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    start_span("bad", attributes={"k": "\ud800"}).end()
    await exporter.flush()
    assert receiver.requests == []


async def test_a_full_batch_goes_at_once(receiver: OtlpReceiver, sender: OtlpSender) -> None:
    exporter = SpanExporter(sender, RESOURCE, batch_size=4, interval=timedelta(hours=1))
    install(Tracer(exporter.submit))
    exporter.start()
    exporter.start()
    make_spans(5)
    await receiver.wait_for(1)
    assert names_sent(receiver) == ["s0", "s1", "s2", "s3"]
    await exporter.shutdown(timedelta(seconds=1))
    assert names_sent(receiver) == ["s0", "s1", "s2", "s3", "s4"]


async def test_a_smaller_batch_goes_after_the_interval(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    exporter.start()
    make_spans(2)
    await receiver.wait_for(1)
    assert names_sent(receiver) == ["s0", "s1"]


async def test_spans_of_other_threads_wake_the_exporter(receiver: OtlpReceiver, sender: OtlpSender) -> None:
    exporter = SpanExporter(sender, RESOURCE, batch_size=4, interval=timedelta(hours=1))
    install(Tracer(exporter.submit))
    exporter.start()
    thread = threading.Thread(target=make_spans, args=(4,))
    thread.start()
    await receiver.wait_for(1)
    thread.join()
    await exporter.shutdown(timedelta(seconds=1))


async def test_the_queue_is_bounded_and_what_is_dropped_is_counted(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted
) -> None:
    make_spans(20)
    assert counted("fleet_dropped_spans_total", reason="queue_full") == 4
    await exporter.flush()
    assert len(names_sent(receiver)) == 16


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_receiver_is_tried_once_more(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted, status: int
) -> None:
    receiver.script = [(status, b"")]
    make_spans(2)
    await exporter.flush()
    assert names_sent(receiver) == ["s0", "s1", "s0", "s1"]
    assert counted("fleet_exported_spans_total") == 2


async def test_after_the_second_failure_the_batch_is_dropped(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted
) -> None:
    receiver.script = [(503, b""), (503, b"")]
    make_spans(2)
    await exporter.flush()
    assert len(receiver.requests) == 2
    assert counted("fleet_dropped_spans_total", reason="unreachable") == 2


async def test_a_refusal_is_not_tried_again(receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted) -> None:
    receiver.script = [(401, b"who are you")]
    make_spans(2)
    await exporter.flush()
    assert len(receiver.requests) == 1
    assert counted("fleet_dropped_spans_total", reason="refused") == 2


@pytest.mark.parametrize(
    ("answer", "rejected"),
    [
        (b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}', 1),
        (b'{"partialSuccess":{"rejectedSpans":99}}', 2),
        (b'{"partialSuccess":{"rejectedSpans":-3}}', 0),
        (b'{"partialSuccess":{"rejectedSpans":"many"}}', 0),
        (b"thank you", 0),
        (b"", 0),
    ],
)
async def test_a_partial_success_is_counted(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted, answer: bytes, rejected: int
) -> None:
    receiver.script = [(200, answer)]
    make_spans(2)
    await exporter.flush()
    assert counted("fleet_dropped_spans_total", reason="rejected") == rejected
    assert counted("fleet_exported_spans_total") == 2 - rejected


async def test_a_receiver_that_is_away_is_said_once_without_secrets(
    receiver: OtlpReceiver, unused_tcp_port: int, caplog: pytest.LogCaptureFixture, counted: Counted
) -> None:
    sender = OtlpSender(f"http://user:hunter2@127.0.0.1:{unused_tcp_port}", {"Authorization": "Bearer hunter3"})
    exporter = SpanExporter(sender, RESOURCE, retry_delay=SOON)
    install(Tracer(exporter.submit))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            make_spans(1)
            await exporter.flush()
    await sender.close()
    assert counted("fleet_dropped_spans_total", reason="unreachable") == 3
    assert len(caplog.records) == 1
    assert "hunter" not in caplog.text
    assert str(unused_tcp_port) not in caplog.text


async def test_the_return_of_a_receiver_is_said(
    receiver: OtlpReceiver, exporter: SpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script = [(503, b"")]
    make_spans(1)
    with caplog.at_level(logging.INFO):
        await exporter.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_url_that_is_none_costs_spans_only(counted: Counted) -> None:
    sender = OtlpSender("not a url", {})
    assert (await sender.send("/v1/traces", b"{}"))[0] is SendResult.FAILED
    await sender.close()


async def test_a_large_batch_is_sent_as_well(receiver: OtlpReceiver, sender: OtlpSender) -> None:
    exporter = SpanExporter(sender, RESOURCE)
    install(Tracer(exporter.submit))
    for _ in range(256):
        start_span("large", attributes={"text": "x" * MAX_TEXT, "more": "y" * MAX_TEXT}).end()
    await exporter.flush()
    assert len(receiver.requests[0].body) > 2_000_000
    assert len(names_sent(receiver)) == 256


async def test_headers_are_sent(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    make_spans(1)
    await exporter.flush()
    (request,) = receiver.requests
    assert request.headers["authorization"] == "Bearer hunter2"
    assert request.headers["content-type"] == "application/json"


async def test_shutdown_keeps_its_budget_and_counts_the_rest(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted
) -> None:
    receiver.accepting.clear()
    make_spans(6)
    started = asyncio.get_running_loop().time()
    await exporter.shutdown(timedelta(milliseconds=50))
    assert asyncio.get_running_loop().time() - started < 1
    assert counted("fleet_dropped_spans_total", reason="shutdown") == 6


async def test_a_batch_under_way_at_shutdown_is_sent(receiver: OtlpReceiver, exporter: SpanExporter) -> None:
    receiver.accepting.clear()
    exporter.start()
    make_spans(2)
    await receiver.wait_for(1)
    receiver.accepting.set()
    await exporter.shutdown(timedelta(seconds=2))
    assert set(names_sent(receiver)) == {"s0", "s1"}


async def test_a_fault_of_the_exporter_itself_does_not_end_it(
    receiver: OtlpReceiver, exporter: SpanExporter, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError

    exporter.start()
    with monkeypatch.context() as patch:
        patch.setattr("handler_base.telemetry.exporter.trace_request", broken)
        make_spans(1)
        await exporter.flush()
    make_spans(1)
    await receiver.wait_for(1)
    assert counted("fleet_swallowed_errors_total", where="span_exporter") == 1
    assert counted("fleet_dropped_spans_total", reason="internal") == 1


async def test_metrics_are_pushed_at_the_interval_and_at_the_end(receiver: OtlpReceiver, sender: OtlpSender) -> None:
    pusher = MetricsPusher(sender, lambda: b'{"resourceMetrics":[]}', SOON)
    pusher.start()
    pusher.start()
    await receiver.wait_for(2)
    sent = len(receiver.requests)
    await pusher.shutdown(timedelta(seconds=1))
    assert len(receiver.requests) > sent
    assert {request.path for request in receiver.requests} == {"/v1/metrics"}


async def test_a_push_that_fails_is_counted(receiver: OtlpReceiver, sender: OtlpSender, counted: Counted) -> None:
    receiver.script = [(503, b"")]
    await MetricsPusher(sender, lambda: b"{}", SOON).shutdown(timedelta(seconds=1))
    assert counted("fleet_dropped_metric_pushes_total") == 1


async def test_the_last_push_keeps_its_budget(receiver: OtlpReceiver, sender: OtlpSender, counted: Counted) -> None:
    receiver.accepting.clear()
    await MetricsPusher(sender, lambda: b"{}", SOON).shutdown(timedelta(milliseconds=30))
    assert counted("fleet_dropped_metric_pushes_total") == 1


async def test_metrics_that_cannot_be_encoded_do_not_end_the_pushes(sender: OtlpSender, counted: Counted) -> None:
    def broken() -> bytes:
        raise RuntimeError

    await MetricsPusher(sender, broken, SOON).shutdown(timedelta(seconds=1))
    assert counted("fleet_swallowed_errors_total", where="metrics_pusher") == 1
    assert counted("fleet_dropped_metric_pushes_total") == 1
