"""The stages of one request, timed: for the answer's timings, for the trace and for the metrics at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from handler_base.telemetry import metrics
from handler_base.telemetry.spans import AttributeValue, Span, error_type
from handler_base.telemetry.tracing import start_span

__all__ = ["Stages"]


class Stages:
    """Times the stages of one request.

        stages = Stages()
        with stages.measure("rerank"):
            ...
        stages.timings_ms  # {"rerank": 12.5}

    Attributes:
        timings_ms: Milliseconds by stage; a stage measured twice has the sum.
    """

    __slots__ = ("timings_ms",)

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    def measure(self, stage: str, attributes: Mapping[str, AttributeValue] | None = None) -> _Measurement:
        """Return a context manager that times its block as `stage`; its value is the child span.

        Args:
            stage: A fixed name such as ``search``: it becomes a label.
            attributes: Attributes of the child span.
        """
        return _Measurement(self, stage, attributes)

    def add(self, stage: str, seconds: float) -> None:
        """Add a time that was measured elsewhere, such as between two chunks of a stream."""
        self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + seconds * 1000
        metrics.STAGE_DURATION.of(stage, "").observe(seconds)


class _Measurement:
    __slots__ = ("_attributes", "_span", "_stage", "_stages", "_started")

    def __init__(self, stages: Stages, stage: str, attributes: Mapping[str, AttributeValue] | None) -> None:
        self._stages = stages
        self._stage = stage
        self._attributes = attributes

    def __enter__(self) -> Span:
        self._span = start_span(self._stage, attributes=self._attributes)
        self._started = time.perf_counter()
        return self._span.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        self._span.__exit__(kind, error, traceback)
        timings = self._stages.timings_ms
        timings[self._stage] = timings.get(self._stage, 0.0) + seconds * 1000
        metrics.STAGE_DURATION.of(self._stage, error_type(error) if error is not None else "").observe(seconds)
