from __future__ import annotations

from collections.abc import Callable

import pytest

from handler_base.errors import DeadlineExceededError
from handler_base.telemetry import Stages, span
from handler_base.telemetry.spans import RecordingSpan

Counted = Callable[..., float]


def test_a_stage_is_timed_counted_and_traced(ended: list[RecordingSpan], counted: Counted) -> None:
    stages = Stages()
    with span("process") as parent, stages.measure("search", {"k": "v"}) as child:
        child.set("hits", 3)
    record = ended[0]
    assert record.name == "search"
    assert record.attributes == {"k": "v", "hits": 3}
    assert parent.context is not None
    assert record.parent is not None
    assert record.parent.span_id == parent.context.span_id
    assert list(stages.timings_ms) == ["search"]
    assert stages.timings_ms["search"] > 0
    assert counted("fleet_stage_duration_seconds_count", stage="search", error_type="") == 1


def test_repeats_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.25, 1.0, 1.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    stages = Stages()
    for _ in range(2):
        with stages.measure("embed"):
            pass
    assert stages.timings_ms == {"embed": 750.0}


def test_a_stage_that_fails_is_timed_and_named(ended: list[RecordingSpan], counted: Counted) -> None:
    stages = Stages()
    with pytest.raises(DeadlineExceededError), stages.measure("rerank"):
        raise DeadlineExceededError
    assert "rerank" in stages.timings_ms
    assert ended[0].attributes == {"error.type": "deadline_exceeded"}
    assert counted("fleet_stage_duration_seconds_count", stage="rerank", error_type="deadline_exceeded") == 1


def test_a_time_measured_elsewhere_is_added(counted: Counted) -> None:
    stages = Stages()
    stages.add("first_token", 0.5)
    stages.add("first_token", 0.25)
    assert stages.timings_ms == {"first_token": 750.0}
    assert counted("fleet_stage_duration_seconds_count", stage="first_token", error_type="") == 2
