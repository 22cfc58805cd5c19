"""Spans: what happened, when, under which parent. See `handler_base.telemetry.tracing` for how to start one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from enum import IntEnum
from types import TracebackType
from typing import Final, NamedTuple, Self

from handler_base.errors import FleetError, RequestCancelledError, to_fleet_error
from handler_base.telemetry import names

__all__ = [
    "CURRENT_SPAN",
    "NOOP_SPAN",
    "AttributeValue",
    "PassiveSpan",
    "RecordingSpan",
    "Span",
    "SpanContext",
    "SpanEvent",
    "SpanKind",
    "SpanStatus",
    "error_type",
]

AttributeValue = str | bool | int | float | Sequence[str]

MAX_EVENTS: Final = 128
"""Most events one span keeps; later ones are left out."""


class SpanKind(IntEnum):
    """Where a span stands in the conversation, with the numbers of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class SpanStatus(IntEnum):
    """How a span ended, with the numbers of OTLP."""

    UNSET = 0
    OK = 1
    ERROR = 2


class SpanContext(NamedTuple):
    """What travels from one process to the next.

    Attributes:
        trace_id: 32 lower-case hexadecimal digits.
        span_id: 16 lower-case hexadecimal digits.
        sampled: Whether the trace is recorded.
        trace_state: The `tracestate` header as it came, or empty.
        remote: Whether it came from another process.
    """

    trace_id: str
    span_id: str
    sampled: bool
    trace_state: str = ""
    remote: bool = False


class SpanEvent(NamedTuple):
    """Something that happened at one moment of a span; `time_ns` is nanoseconds since 1970."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue]


def error_type(error: BaseException) -> str:
    """Return the low-cardinality name of an error: its wire type when typed, else the name of its class."""
    if isinstance(error, FleetError):
        return error.type.value
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return RequestCancelledError.type.value
    return type(error).__qualname__


class Span:
    """The public face of every span, and a span that does nothing.

    As a context manager a span is the current one inside the block and is ended by it. An error that leaves
    the block is recorded.
    """

    __slots__ = ()

    @property
    def recording(self) -> bool:
        """Whether what is set here goes anywhere; guards attributes that are costly to compute."""
        return False

    @property
    def context(self) -> SpanContext | None:
        """What to hand to the next process; None where there is no trace."""
        return None

    def set(self, key: str, value: AttributeValue) -> None:
        """Set one attribute, named in `handler_base.telemetry.names`."""

    def set_name(self, name: str) -> None:
        """Rename the span, where the final name is known only later."""

    def add_event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        """Note that something happened now."""

    def record_error(self, error: BaseException) -> None:
        """Mark the span as failed, with the error's type and the text that is safe to show."""

    def end(self) -> None:
        """End the span; what comes after changes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


CURRENT_SPAN: Final[ContextVar[Span | None]] = ContextVar("handler_base_current_span", default=None)

NOOP_SPAN: Final = Span()
"""Handed out wherever there is nothing to record and nothing to pass on."""


def _leave(token: Token[Span | None]) -> None:
    try:
        CURRENT_SPAN.reset(token)
    except ValueError:
        # An asynchronous generator may be closed from another context than it was started in.
        return


class PassiveSpan(Span):
    """Records nothing, but passes the trace of its parent on."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: SpanContext) -> None:
        self._context = context
        self._token: Token[Span | None] | None = None

    @property
    def context(self) -> SpanContext:
        """The context of the parent."""
        return self._context

    def __enter__(self) -> Self:
        self._token = CURRENT_SPAN.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _leave(self._token)
            self._token = None


class RecordingSpan(Span):
    """A span that is exported when it ends.

    Attributes are read-only for others than the exporter; times are nanoseconds since 1970.
    """

    __slots__ = (
        "_context",
        "_sink",
        "_token",
        "attributes",
        "end_ns",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "span_id",
        "start_ns",
        "status",
        "status_message",
        "trace_id",
        "trace_state",
    )

    def __init__(  # noqa: PLR0917 - made once per span, and keywords cost time
        self,
        sink: Callable[[RecordingSpan], None],
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        trace_id: str,
        span_id: str,
        parent: SpanContext | None,
        links: Sequence[SpanContext],
    ) -> None:
        self._sink = sink
        self._token: Token[Span | None] | None = None
        self._context: SpanContext | None = None
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.trace_state = parent.trace_state if parent is not None else ""
        self.attributes: dict[str, AttributeValue] = dict(attributes) if attributes else {}
        self.links = links
        self.events: list[SpanEvent] | None = None
        self.status = 0
        self.status_message = ""
        self.end_ns = 0
        self.start_ns = time.time_ns()

    @property
    def recording(self) -> bool:
        """Whether the span is still open."""
        return self.end_ns == 0

    @property
    def context(self) -> SpanContext:
        """What to hand to the next process."""
        context = self._context
        if context is None:
            context = self._context = SpanContext(self.trace_id, self.span_id, True, self.trace_state)
        return context

    def set(self, key: str, value: AttributeValue) -> None:
        """Set one attribute, named in `handler_base.telemetry.names`."""
        if self.end_ns == 0:
            self.attributes[key] = value

    def set_name(self, name: str) -> None:
        """Rename the span, where the final name is known only later."""
        if self.end_ns == 0:
            self.name = name

    def add_event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        """Note that something happened now."""
        if self.end_ns:
            return
        if self.events is None:
            self.events = []
        if len(self.events) < MAX_EVENTS:
            self.events.append(SpanEvent(name, time.time_ns(), attributes or {}))

    def record_error(self, error: BaseException) -> None:
        """Mark the span as failed, with the error's type and the text that is safe to show.

        A cancellation is not a fault: it is named, but leaves the status as it is.
        """
        if self.end_ns:
            return
        kind = error_type(error)
        self.attributes[names.ERROR_TYPE] = kind
        if kind == RequestCancelledError.type:
            return
        message = to_fleet_error(error).message
        self.status = SpanStatus.ERROR
        self.status_message = message
        self.add_event(
            names.EXCEPTION_EVENT,
            {names.EXCEPTION_TYPE: type(error).__qualname__, names.EXCEPTION_MESSAGE: message},
        )

    def end(self) -> None:
        """End the span and hand it to the exporter; a second call changes nothing."""
        if self.end_ns == 0:
            # The wall clock may have been set back meanwhile.
            self.end_ns = max(time.time_ns(), self.start_ns)
            self._sink(self)

    def __enter__(self) -> Self:
        self._token = CURRENT_SPAN.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _leave(self._token)
            self._token = None
        if error is not None:
            self.record_error(error)
        self.end()
