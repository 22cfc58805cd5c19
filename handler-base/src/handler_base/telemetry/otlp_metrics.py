"""The metric registry as an OTLP/HTTP request in JSON, for receivers that are pushed to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Metric

from handler_base.telemetry.instruments import MetricDescription
from handler_base.telemetry.otlp import KeyValue, Resource, StringValue

__all__ = ["metrics_request"]

_CUMULATIVE: Final = 2
_STARTED_NS: Final = str(time.time_ns())
_ENCODER: Final = msgspec.json.Encoder()

_Labels = tuple[tuple[str, str], ...]


class _OtlpStruct(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Base of the shapes."""


class _NumberPoint(_OtlpStruct):
    attributes: list[KeyValue]
    start_time_unix_nano: str
    time_unix_nano: str
    # The zero of a counter must be on the wire, so this has no default to leave out.
    as_double: float


class _HistogramPoint(_OtlpStruct):
    attributes: list[KeyValue]
    start_time_unix_nano: str
    time_unix_nano: str
    count: str
    sum: float
    bucket_counts: list[str]
    explicit_bounds: list[float]


class _Gauge(_OtlpStruct):
    data_points: list[_NumberPoint]


class _Sum(_OtlpStruct):
    data_points: list[_NumberPoint]
    aggregation_temporality: int
    is_monotonic: bool


class _Histogram(_OtlpStruct):
    data_points: list[_HistogramPoint]
    aggregation_temporality: int


class _Metric(_OtlpStruct):
    name: str
    description: str = ""
    unit: str = ""
    gauge: _Gauge | None = None
    sum: _Sum | None = None
    histogram: _Histogram | None = None


def metrics_request(
    registry: CollectorRegistry, descriptions: Mapping[str, MetricDescription], resource: Resource
) -> bytes:
    """Return the body of a metrics request.

    Args:
        registry: What to send.
        descriptions: OpenTelemetry's names by Prometheus name; a metric that is not in it keeps its name.
        resource: Who sends.
    """
    now = str(time.time_ns())
    converted = (_convert(family, descriptions.get(family.name), now) for family in registry.collect())
    scope = {"scope": {"name": "handler_base"}, "metrics": [metric for metric in converted if metric is not None]}
    return _ENCODER.encode({"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]})


def _convert(family: Metric, description: MetricDescription | None, now: str) -> _Metric | None:
    if not family.samples:
        return None
    metric = _Metric(family.name, family.documentation)
    attribute_names: dict[str, str] = {}
    if description is not None:
        metric.name, metric.unit = description.name, description.unit
        attribute_names = description.attribute_names
    if family.type == "histogram":
        metric.histogram = _Histogram(_histogram_points(family, attribute_names, now), _CUMULATIVE)
        return metric
    points = [
        _NumberPoint(_attributes(tuple(sample.labels.items()), attribute_names), _STARTED_NS, now, sample.value)
        for sample in family.samples
    ]
    if family.type == "counter":
        metric.sum = _Sum(points, _CUMULATIVE, is_monotonic=True)
    else:
        metric.gauge = _Gauge(points)
    return metric


def _histogram_points(family: Metric, attribute_names: Mapping[str, str], now: str) -> list[_HistogramPoint]:
    cumulative: dict[_Labels, list[tuple[float, float]]] = {}
    sums: dict[_Labels, float] = {}
    for sample in family.samples:
        labels = tuple((key, value) for key, value in sample.labels.items() if key != "le")
        if sample.name.endswith("_bucket"):
            cumulative.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    return [
        _HistogramPoint(
            _attributes(labels, attribute_names),
            _STARTED_NS,
            now,
            count=str(int(buckets[-1][1])),
            sum=sums[labels],
            bucket_counts=_differences(count for _, count in buckets),
            explicit_bounds=[bound for bound, _ in buckets[:-1]],
        )
        for labels, buckets in cumulative.items()
    ]


def _differences(counts: Iterable[float]) -> list[str]:
    before = 0.0
    result: list[str] = []
    for count in counts:
        result.append(str(int(count - before)))
        before = count
    return result


def _attributes(labels: _Labels, attribute_names: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(attribute_names.get(key, key), StringValue(value)) for key, value in labels if value]
