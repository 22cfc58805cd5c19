from __future__ import annotations

import json

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import CollectorRegistry, Gauge

from handler_base.telemetry import metrics
from handler_base.telemetry.instruments import InstrumentSet
from handler_base.telemetry.otlp import Resource
from handler_base.telemetry.otlp_metrics import metrics_request

RESOURCE = Resource.describe("chat-handler", "1.2.3")


def parse(instruments: InstrumentSet) -> ExportMetricsServiceRequest:
    body = metrics_request(instruments.registry, instruments.descriptions, RESOURCE)
    return json_format.ParseDict(json.loads(body), ExportMetricsServiceRequest())


def test_a_counter_is_a_monotonic_sum_under_its_otel_names() -> None:
    instruments = InstrumentSet(CollectorRegistry())
    counter = instruments.counter(
        "messaging.client.sent.messages",
        "{message}",
        "Sent.",
        ("messaging.destination.template", "error.type"),
        constant={"messaging.system": "nats"},
    )
    counter.of("ai.chat.request", "").inc(3)
    counter.of("ai.chat.request", "timeout").inc(0)
    (metric,) = parse(instruments).resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit, metric.description) == ("messaging.client.sent.messages", "{message}", "Sent.")
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == 2
    points = {
        tuple((item.key, item.value.string_value) for item in point.attributes): point.as_double
        for point in metric.sum.data_points
    }
    base = (("messaging.system", "nats"), ("messaging.destination.template", "ai.chat.request"))
    assert points == {base: 3.0, (*base, ("error.type", "timeout")): 0.0}
    assert all(0 < point.start_time_unix_nano <= point.time_unix_nano for point in metric.sum.data_points)


def test_a_histogram_has_counts_for_each_bucket_not_running_totals() -> None:
    instruments = InstrumentSet(CollectorRegistry())
    histogram = instruments.histogram("fleet.stage.duration", "s", "Time.", ("fleet.stage",), buckets=(0.1, 1.0))
    for value in (0.05, 0.06, 0.5, 7.0):
        histogram.of("search").observe(value)
    histogram.of("rerank").observe(0.2)
    (metric,) = parse(instruments).resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("fleet.stage.duration", "s")
    search, rerank = metric.histogram.data_points
    assert search.attributes[0].key == "fleet.stage"
    assert list(search.explicit_bounds) == [0.1, 1.0]
    assert list(search.bucket_counts) == [2, 1, 1]
    assert search.count == 4
    assert round(search.sum, 6) == 7.61
    assert list(rerank.bucket_counts) == [0, 1, 0]


def test_gauges_and_metrics_of_others_are_sent_too() -> None:
    instruments = InstrumentSet(CollectorRegistry())
    instruments.gauge("fleet.queue.depth", "{request}", "Waiting.", ("fleet.lane",)).of("premium").set(2)
    Gauge("process_open_fds", "Files.", registry=instruments.registry).set(9)
    depth, files = parse(instruments).resource_metrics[0].scope_metrics[0].metrics
    assert depth.name == "fleet.queue.depth"
    assert depth.gauge.data_points[0].as_double == 2
    assert files.name == "process_open_fds"
    assert files.unit == ""


def test_a_metric_without_values_is_left_out() -> None:
    instruments = InstrumentSet(CollectorRegistry())
    instruments.counter("fleet.retries", "{retry}", "Retries.", ("fleet.client",))
    assert not parse(instruments).resource_metrics[0].scope_metrics[0].metrics


def test_the_whole_registry_of_the_fleet_can_be_sent() -> None:
    metrics.STAGE_DURATION.of("search", "").observe(0.1)
    request = parse(metrics.INSTRUMENTS)
    names = {metric.name for metric in request.resource_metrics[0].scope_metrics[0].metrics}
    assert {"fleet.stage.duration", "fleet.reconnects", "process_resident_memory_bytes"} <= names
    assert request.resource_metrics[0].resource.attributes[0].value.string_value == "chat-handler"
