"""A receiver of OTLP, and a clean slate for tracing and logging around each test."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from handler_base.telemetry import metrics
from handler_base.telemetry.spans import RecordingSpan
from handler_base.telemetry.tracing import Tracer, install
from handler_base.testing.otlp import OtlpReceiver


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver.serve() as result:
        yield result


@pytest.fixture
def ended() -> list[RecordingSpan]:
    """The spans that ended since the test began; tracing is on."""
    spans: list[RecordingSpan] = []
    install(Tracer(spans.append))
    return spans


@pytest.fixture(autouse=True)
def _tracing_off_afterwards() -> Iterator[None]:
    yield
    install(None)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def counted() -> Callable[..., float]:
    """Returns how far a sample of the registry has moved since the test began."""
    before = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
    }

    def difference(name: str, **labels: str) -> float:
        now = metrics.REGISTRY.get_sample_value(name, labels) or 0.0
        return now - before.get((name, frozenset(labels.items())), 0.0)

    return difference
