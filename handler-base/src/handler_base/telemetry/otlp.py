"""OTLP/HTTP in its JSON encoding: the shapes of a trace request, and who sends it.

Trace and span ids are hexadecimal text and 64-bit numbers are decimal text, as the OTLP JSON mapping asks.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from handler_base.telemetry import names
from handler_base.telemetry.spans import AttributeValue, RecordingSpan, SpanContext, SpanEvent

__all__ = [
    "AnyValue",
    "KeyValue",
    "Resource",
    "StringValue",
    "encode_span",
    "parse_pairs",
    "to_attributes",
    "trace_request",
]

MAX_TEXT: Final = 4096
"""Most characters of a text attribute."""

_SAMPLED: Final = 0x01
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class _OtlpStruct(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Base of the shapes."""


class StringValue(_OtlpStruct):
    """Text."""

    string_value: str


class IntValue(_OtlpStruct):
    """A 64-bit number, in decimal."""

    int_value: str


class BoolValue(_OtlpStruct):
    """Yes or no."""

    bool_value: bool


class DoubleValue(_OtlpStruct):
    """A floating-point number; ``NaN`` and infinities are text."""

    double_value: float | str


class _Values(_OtlpStruct):
    values: list[StringValue]


class ArrayValue(_OtlpStruct):
    """Several texts."""

    array_value: _Values


AnyValue = StringValue | IntValue | BoolValue | DoubleValue | ArrayValue


class KeyValue(_OtlpStruct):
    """One attribute."""

    key: str
    value: AnyValue


class Resource(_OtlpStruct):
    """Who sends: attributes such as `service.name`."""

    attributes: list[KeyValue]

    @classmethod
    def describe(cls, service_name: str, version: str, extra: str = "") -> Resource:
        """Return the resource of this process.

        Args:
            service_name: Such as ``chat-handler``.
            version: Version of the service.
            extra: More attributes as ``k=v,k=v``; they win over those made here.
        """
        attributes: dict[str, AttributeValue] = {
            names.SERVICE_NAME: service_name,
            names.SERVICE_VERSION: version,
            names.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
            "telemetry.sdk.name": "handler_base",
            "telemetry.sdk.language": "python",
        }
        return cls(to_attributes({**attributes, **parse_pairs(extra)}))


class _Event(_OtlpStruct):
    time_unix_nano: str
    name: str
    attributes: list[KeyValue]


class _Link(_OtlpStruct):
    trace_id: str
    span_id: str
    trace_state: str = ""


class _Status(_OtlpStruct):
    message: str = ""
    code: int = 0


class _Span(_OtlpStruct):
    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[KeyValue]
    flags: int
    parent_span_id: str = ""
    trace_state: str = ""
    events: list[_Event] = []
    links: list[_Link] = []
    status: _Status | None = None


_ENCODER: Final = msgspec.json.Encoder()


def parse_pairs(text: str) -> dict[str, str]:
    """Return the pairs of ``k=v,k=v``, percent-decoded; what is not a pair is left out."""
    pairs = (part.partition("=") for part in text.split(","))
    return {key.strip(): unquote(value.strip()) for key, separator, value in pairs if separator and key.strip()}


def to_attributes(attributes: Mapping[str, AttributeValue]) -> list[KeyValue]:
    """Return attributes in the shape of OTLP."""
    return [KeyValue(key, _to_value(value)) for key, value in attributes.items()]


def _to_value(value: object) -> AnyValue:
    if isinstance(value, str):
        return StringValue(value if len(value) <= MAX_TEXT else value[:MAX_TEXT])
    if type(value) is int:
        return IntValue(str(value))
    return _to_rarer_value(value)


def _to_rarer_value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return BoolValue(value)
    if isinstance(value, float):
        return DoubleValue(value if math.isfinite(value) else _not_finite(value))
    if isinstance(value, int):
        return IntValue(str(int(value)))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return ArrayValue(_Values([StringValue(str(item)[:MAX_TEXT]) for item in value]))
    return StringValue(str(value)[:MAX_TEXT])


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def encode_span(span: RecordingSpan) -> bytes:
    """Return one ended span as JSON.

    Raises:
        ValueError: A text in it is not valid Unicode.
    """
    parent = span.parent
    shape = _Span(
        span.trace_id,
        span.span_id,
        span.name,
        span.kind,
        str(span.start_ns),
        str(span.end_ns),
        to_attributes(span.attributes),
        _SAMPLED | _HAS_IS_REMOTE,
    )
    if parent is not None:
        shape.parent_span_id = parent.span_id
        shape.trace_state = parent.trace_state
        if parent.remote:
            shape.flags |= _IS_REMOTE
    if span.events:
        shape.events = [_to_event(event) for event in span.events]
    if span.links:
        shape.links = [_to_link(link) for link in span.links]
    if span.status:
        shape.status = _Status(span.status_message, span.status)
    return _ENCODER.encode(shape)


def _to_event(event: SpanEvent) -> _Event:
    return _Event(str(event.time_ns), event.name, to_attributes(event.attributes))


def _to_link(link: SpanContext) -> _Link:
    return _Link(link.trace_id, link.span_id, link.trace_state)


def trace_request(resource: Resource, spans: Iterable[bytes]) -> bytes:
    """Return the body of a trace request around spans already encoded by `encode_span`."""
    head = b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"scope":{"name":"handler_base"},"spans":['
    return b"".join((head % _ENCODER.encode(resource), b",".join(spans), b"]}]}]}"))
