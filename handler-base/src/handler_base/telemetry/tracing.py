"""A lean tracer: starts spans, decides what is sampled, knows the current one.

    with span("embed", kind=SpanKind.CLIENT, attributes={names.GEN_AI_OPERATION_NAME: "embeddings"}) as current:
        ...
        current.set(names.GEN_AI_USAGE_INPUT_TOKENS, 12)

Until `install` names a tracer nothing is recorded; a trace that came from outside is still passed on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Final

from handler_base.telemetry.spans import (
    CURRENT_SPAN,
    NOOP_SPAN,
    AttributeValue,
    PassiveSpan,
    RecordingSpan,
    Span,
    SpanContext,
    SpanKind,
)

__all__ = ["CURRENT", "Tracer", "current_span", "install", "span", "start_span", "use_span"]

CURRENT: Final = SpanContext("", "", sampled=False)
"""Stands for "the current span" where a parent is asked for."""

_IDS: Final = random.SystemRandom()


class Tracer:
    """Starts spans and hands the ended ones to a sink.

    A span with a parent follows the parent's decision; of the others the share `ratio` is recorded, chosen by
    trace id so that every process chooses alike.
    """

    __slots__ = ("_bound", "_random", "_sink")

    def __init__(self, sink: Callable[[RecordingSpan], None], ratio: float = 1.0) -> None:
        self._sink = sink
        self._bound = round(ratio * (1 << 64))
        # Ids must be unique, not secret: the system's generator only seeds a cheap one.
        self._random = random.Random(_IDS.getrandbits(256)).getrandbits  # noqa: S311 - see above

    def start_span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        parent: SpanContext | None,
        links: Sequence[SpanContext],
    ) -> Span:
        """Start a span under `parent`, or a new trace where that is None."""
        bits = self._random
        if parent is not None:
            if not parent.sampled:
                return PassiveSpan(parent)
            return RecordingSpan(
                self._sink, name, kind, attributes, parent.trace_id, f"{bits(64) or 1:016x}", parent, links
            )
        number = bits(128) or 1
        trace_id = f"{number:032x}"
        span_id = f"{bits(64) or 1:016x}"
        if number & 0xFFFF_FFFF_FFFF_FFFF >= self._bound:
            return PassiveSpan(SpanContext(trace_id, span_id, sampled=False))
        return RecordingSpan(self._sink, name, kind, attributes, trace_id, span_id, None, links)


class _Installed:
    """The tracer of this process."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracer | None = None


_INSTALLED: Final = _Installed()


def install(tracer: Tracer | None) -> None:
    """Make `tracer` the one that `start_span` uses; None turns tracing off."""
    _INSTALLED.tracer = tracer


def start_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    parent: SpanContext | None = CURRENT,
    links: Sequence[SpanContext] = (),
) -> Span:
    """Start a span; end it with `Span.end`, or use it in a ``with`` statement to make it the current one too.

    Inside an asynchronous generator start it without ``with``: what is current there is current for the caller.

    Args:
        name: Such as ``process ai.chat.request``: few values, no ids.
        kind: Where it stands in the conversation.
        attributes: Named in `handler_base.telemetry.names`.
        parent: Default: the current span; None: a new trace begins, as for a message without trace headers.
        links: Other traces this one has to do with.

    Returns:
        A span that records nothing where tracing is off or the trace is not sampled.
    """
    if parent is CURRENT:
        current = CURRENT_SPAN.get()
        parent = current.context if current is not None else None
    tracer = _INSTALLED.tracer
    if tracer is None:
        return NOOP_SPAN if parent is None else PassiveSpan(parent)
    return tracer.start_span(name, kind, attributes, parent, links)


span = start_span
"""The same function, for ``with span("rerank"):``."""


def current_span() -> Span:
    """Return the current span, or one that does nothing."""
    return CURRENT_SPAN.get() or NOOP_SPAN


class use_span:  # noqa: N801 - reads as a function, is a class for speed
    """Make a span the current one inside the block, without ending it: ``with use_span(answer_span):``."""

    __slots__ = ("_span", "_token")

    def __init__(self, used: Span) -> None:
        self._span = used
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Span:
        self._token = CURRENT_SPAN.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            CURRENT_SPAN.reset(self._token)
            self._token = None
