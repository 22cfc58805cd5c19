"""W3C trace context in message and HTTP headers.

What is malformed is ignored, as the recommendation asks: a bad header must never cost an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Final

from handler_base.telemetry.spans import CURRENT_SPAN, SpanContext

__all__ = ["TRACEPARENT", "TRACESTATE", "extract", "header_lines", "inject"]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_TRACEPARENT_FORM: Final = re.compile(
    r"(?!ff)(?:00|(?P<later>[0-9a-f]{2}))-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_MEMBER_FORM: Final = re.compile(
    r"(?P<key>[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MAX_STATE: Final = 512
_MAX_MEMBERS: Final = 32


def extract(headers: Mapping[str, str] | None) -> SpanContext | None:
    """Return the trace context of a message, or None where there is none that is well formed.

    Args:
        headers: Names in any case; None for a message without headers.
    """
    if not headers:
        return None
    value = _find(headers, TRACEPARENT)
    if not value:
        return None
    match = _TRACEPARENT_FORM.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    later, trace_id, span_id, flags, rest = match.groups()
    if rest is not None and later is None:
        return None
    state = _find(headers, TRACESTATE)
    return SpanContext(trace_id, span_id, int(flags, 16) & 1 == 1, _checked_state(state) if state else "", remote=True)


def inject(headers: MutableMapping[str, str], context: SpanContext | None = None) -> None:
    """Add the trace context of the current span, or of `context`, to the headers of what is about to be sent."""
    if context is None:
        current = CURRENT_SPAN.get()
        context = current.context if current is not None else None
        if context is None:
            return
    headers[TRACEPARENT] = f"00-{context.trace_id}-{context.span_id}-{'01' if context.sampled else '00'}"
    if context.trace_state:
        headers[TRACESTATE] = context.trace_state


def header_lines() -> str:
    """Return the trace context of the current span as lines of a header block, each with its end; or nothing."""
    current = CURRENT_SPAN.get()
    context = current.context if current is not None else None
    if context is None:
        return ""
    trace_id, span_id, sampled, state, _ = context
    flags = "01" if sampled else "00"
    lines = f"{TRACEPARENT}: 00-{trace_id}-{span_id}-{flags}\r\n"
    return f"{lines}{TRACESTATE}: {state}\r\n" if state else lines


def _find(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        for key, candidate in headers.items():
            if len(key) == len(name) and key.lower() == name:
                return candidate
    return value


def _checked_state(state: str) -> str:
    """Return the list as it may be passed on; empty when it is malformed or too long."""
    if len(state) > _MAX_STATE:
        return ""
    members = [member for part in state.split(",") if (member := part.strip(" \t"))]
    matches = [_MEMBER_FORM.fullmatch(member) for member in members]
    keys = {match["key"] for match in matches if match is not None}
    return ",".join(members) if len(keys) == len(members) <= _MAX_MEMBERS else ""
