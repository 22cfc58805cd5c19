"""The forms of instrument: `prometheus_client` metrics under OpenTelemetry names, with label children cached.

`Counter.labels(...)` of the client library builds a tuple of strings, takes a lock and looks up; a `Family`
does one dictionary lookup, and keeps a label with a runaway number of values from filling the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

__all__ = ["MAX_CHILDREN", "OTHER", "Family", "InstrumentSet", "MetricDescription"]

# A second series per child with the time of its making would double every answer to a scrape.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped

MAX_CHILDREN: Final = 500
"""Most label combinations of one metric; what comes after them is counted under `OTHER`."""

OTHER: Final = "_other"

_UNIT_SUFFIX: Final = {"s": "_seconds", "By": "_bytes"}

M = TypeVar("M", bound=Counter | Gauge | Histogram)


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """What OpenTelemetry calls a metric.

    Attributes:
        name: Name in the conventions, such as ``messaging.process.duration``.
        unit: UCUM unit: ``s``, ``By``, ``{message}``.
        help: One sentence for people.
        labels: Attribute names, as in the conventions, in the order of the label values.
    """

    name: str
    unit: str
    help: str
    labels: tuple[str, ...]

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus style, without the ``_total`` of counters."""
        return self.name.replace(".", "_") + _UNIT_SUFFIX.get(self.unit, "")

    @property
    def attribute_names(self) -> dict[str, str]:
        """The names of the labels in the conventions, by their names in Prometheus."""
        return dict(zip(_label_names(self.labels), self.labels, strict=True))


class Family(Generic[M]):
    """A metric with labels; `of` hands out the child for a set of label values.

    A hot path keeps the child itself: ``wait = metrics.QUEUE_WAIT.of(template)``, then ``wait.observe(0.01)``.
    """

    __slots__ = ("_children", "_constant", "_labels", "_new_child")

    def __init__(self, new_child: Callable[..., M], labels: int, constant: Sequence[str]) -> None:
        self._new_child = new_child
        self._labels = labels
        self._constant = tuple(constant)
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *values: str) -> M:
        """Return the child for the label values, given in the order of the metric's labels."""
        child = self._children.get(values)
        return self._make(values) if child is None else child

    def _make(self, values: tuple[str, ...]) -> M:
        if len(self._children) >= MAX_CHILDREN:
            values = (OTHER,) * self._labels
            if values in self._children:
                return self._children[values]
        child = self._new_child(*self._constant, *values)
        self._children[values] = child
        return child


class InstrumentSet:
    """Makes instruments in one registry and remembers what OpenTelemetry calls them.

    Attributes:
        registry: Where the instruments are collected.
        descriptions: By Prometheus name without ``_total``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.descriptions: dict[str, MetricDescription] = {}

    def counter(
        self, name: str, unit: str, help_text: str, labels: Sequence[str], constant: Mapping[str, str] | None = None
    ) -> Family[Counter]:
        """Make a counter with labels."""
        description, values = self._describe(name, unit, help_text, labels, constant)
        metric = Counter(
            description.prometheus_name, help_text, _label_names(description.labels), registry=self.registry
        )
        return Family(metric.labels, len(labels), values)

    def gauge(self, name: str, unit: str, help_text: str, labels: Sequence[str]) -> Family[Gauge]:
        """Make a gauge with labels."""
        description, values = self._describe(name, unit, help_text, labels, None)
        metric = Gauge(description.prometheus_name, help_text, _label_names(description.labels), registry=self.registry)
        return Family(metric.labels, len(labels), values)

    def histogram(
        self,
        name: str,
        unit: str,
        help_text: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        constant: Mapping[str, str] | None = None,
    ) -> Family[Histogram]:
        """Make a histogram with labels."""
        description, values = self._describe(name, unit, help_text, labels, constant)
        metric = Histogram(
            description.prometheus_name,
            help_text,
            _label_names(description.labels),
            registry=self.registry,
            buckets=buckets,
        )
        return Family(metric.labels, len(labels), values)

    def plain_counter(self, name: str, unit: str, help_text: str) -> Counter:
        """Make a counter without labels."""
        description, _ = self._describe(name, unit, help_text, (), None)
        return Counter(description.prometheus_name, help_text, registry=self.registry)

    def plain_gauge(self, name: str, unit: str, help_text: str) -> Gauge:
        """Make a gauge without labels."""
        description, _ = self._describe(name, unit, help_text, (), None)
        return Gauge(description.prometheus_name, help_text, registry=self.registry)

    def plain_histogram(self, name: str, unit: str, help_text: str, *, buckets: Sequence[float]) -> Histogram:
        """Make a histogram without labels."""
        description, _ = self._describe(name, unit, help_text, (), None)
        return Histogram(description.prometheus_name, help_text, registry=self.registry, buckets=buckets)

    def _describe(
        self, name: str, unit: str, help_text: str, labels: Sequence[str], constant: Mapping[str, str] | None
    ) -> tuple[MetricDescription, tuple[str, ...]]:
        constant = constant or {}
        description = MetricDescription(name, unit, help_text, (*constant, *labels))
        self.descriptions[description.prometheus_name] = description
        return description, tuple(constant.values())


def _label_names(attributes: Sequence[str]) -> list[str]:
    return [attribute.removeprefix("fleet.").replace(".", "_") for attribute in attributes]
