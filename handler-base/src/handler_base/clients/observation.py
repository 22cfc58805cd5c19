"""The span and the metrics of one call, with everything that is the same for each call made once."""

from __future__ import annotations

import time
from functools import lru_cache
from types import TracebackType
from typing import Self

from handler_base.telemetry import AttributeValue, Span, SpanKind, error_type, metrics, names, start_span

__all__ = ["Observation", "Operation", "operation"]


class Operation:
    """A kind of call: what it does, on whose interface, with which model.

    Args:
        name: A `gen_ai.operation.name`; empty for a call that has nothing to do with models.
        provider: A `gen_ai.provider.name`, or the client's name.
        model: The model asked for; empty where the server chooses.
    """

    __slots__ = ("_attributes", "_duration", "_labels", "_span_name")

    def __init__(self, name: str, provider: str, model: str = "") -> None:
        self._labels = (name, provider, model)
        self._attributes: dict[str, AttributeValue] = {}
        self._duration = metrics.GEN_AI_DURATION.of(*self._labels, "") if name else None
        if not name:
            self._span_name = f"POST {provider}"
            return
        self._span_name = f"{name} {model}".rstrip()
        self._attributes = {names.GEN_AI_OPERATION_NAME: name, names.GEN_AI_PROVIDER_NAME: provider}
        if model:
            self._attributes[names.GEN_AI_REQUEST_MODEL] = model

    def observe(self) -> Observation:
        """Return a context manager for one call."""
        return Observation(self, start_span(self._span_name, SpanKind.CLIENT, self._attributes))

    def note_end(self, seconds: float, error: BaseException | None) -> None:
        """Count a call that took so long."""
        if self._duration is None:
            return
        if error is None:
            self._duration.observe(seconds)
        else:
            metrics.GEN_AI_DURATION.of(*self._labels, error_type(error)).observe(seconds)

    def note_first_chunk(self, seconds: float) -> None:
        """Count the time to the first piece of a stream."""
        metrics.GEN_AI_FIRST_CHUNK.of(*self._labels).observe(seconds)

    def note_chunk(self, seconds: float) -> None:
        """Count the time between two pieces of a stream."""
        metrics.GEN_AI_OUTPUT_CHUNK.of(*self._labels).observe(seconds)

    def note_tokens(self, read: int, written: int) -> None:
        """Count the tokens of a call."""
        metrics.GEN_AI_TOKENS.of(*self._labels, names.GEN_AI_TOKEN_INPUT).observe(read)
        metrics.GEN_AI_TOKENS.of(*self._labels, names.GEN_AI_TOKEN_OUTPUT).observe(written)


class Observation:
    """One call under observation: its span ends and its duration is counted with the block.

    The span is not made the current one: inside an asynchronous generator that would leak into the caller.
    """

    __slots__ = ("_last", "_operation", "_started", "span")

    def __init__(self, kind: Operation, span: Span) -> None:
        self._operation = kind
        self._started = time.perf_counter()
        self._last = 0.0
        self.span = span

    def chunk(self) -> None:
        """Note that a piece of a streamed answer is here."""
        now = time.perf_counter()
        if self._last:
            self._operation.note_chunk(now - self._last)
        else:
            self._operation.note_first_chunk(now - self._started)
            self.span.set(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, now - self._started)
        self._last = now

    def model(self, model: str, finish_reason: str = "") -> None:
        """Note which model answered, and why it stopped."""
        if model:
            self.span.set(names.GEN_AI_RESPONSE_MODEL, model)
        if finish_reason:
            self.span.set(names.GEN_AI_RESPONSE_FINISH_REASONS, (finish_reason,))

    def tokens(self, read: int, written: int) -> None:
        """Note the tokens the server counted."""
        self._operation.note_tokens(read, written)
        self.span.set(names.GEN_AI_USAGE_INPUT_TOKENS, read)
        self.span.set(names.GEN_AI_USAGE_OUTPUT_TOKENS, written)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, GeneratorExit):
            # The caller had enough of the stream; that is no failure.
            error = None
        if error is not None:
            self.span.record_error(error)
        self.span.end()
        self._operation.note_end(time.perf_counter() - self._started, error)


@lru_cache(maxsize=256)
def operation(name: str, provider: str, model: str = "") -> Operation:
    """Return the operation for these labels, made once."""
    return Operation(name, provider, model)
