"""Traces, metrics and logs of a service.

`setup` turns on what the settings ask for. Everything else works without it: spans cost almost nothing and go
nowhere, metrics count, logs go where the standard library puts them.
"""

from __future__ import annotations

from handler_base.telemetry import metrics, names
from handler_base.telemetry.logs import configure_logging
from handler_base.telemetry.propagation import extract, inject
from handler_base.telemetry.service import Telemetry, setup
from handler_base.telemetry.spans import AttributeValue, Span, SpanContext, SpanKind, error_type
from handler_base.telemetry.stages import Stages
from handler_base.telemetry.tracing import CURRENT, current_span, span, start_span, use_span

__all__ = [
    "CURRENT",
    "AttributeValue",
    "Span",
    "SpanContext",
    "SpanKind",
    "Stages",
    "Telemetry",
    "configure_logging",
    "current_span",
    "error_type",
    "extract",
    "inject",
    "metrics",
    "names",
    "setup",
    "span",
    "start_span",
    "use_span",
]
