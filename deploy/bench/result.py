"""What a scenario hands to the report: rows to read and bars to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deploy.bench.measure import Spread

__all__ = ["Bar", "Result", "Row"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the issue.

    Attributes:
        text: What it asks, in a few words.
        value: What was measured.
        limit: The bar.
        better: Whether the value must stay below or reach the limit.
        unit: Unit of value and limit; `x` for ratios.
    """

    text: str
    value: Spread
    limit: float
    better: Literal["lower", "higher"] = "lower"
    unit: str = "x"

    @property
    def passed(self) -> bool:
        """Whether the median passes."""
        return self.value.median <= self.limit if self.better == "lower" else self.value.median >= self.limit

    @property
    def score(self) -> Spread:
        """The value in parts of the bar, turned so that 1 is the bar and less is better."""
        if self.better == "lower":
            return Spread(self.value.median / self.limit, self.value.low / self.limit, self.value.high / self.limit)
        # A rate of nothing is infinitely far from its bar.
        values = (self.value.median, self.value.high, self.value.low)
        median, low, high = (self.limit / value if value > 0 else float("inf") for value in values)
        return Spread(median, low, high)


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant's line.

    Attributes:
        who: The contestant.
        figures: Column title and figure, in order.
    """

    who: str
    figures: dict[str, str]


@dataclass(slots=True)
class Result:
    """What one scenario gave.

    Attributes:
        name: Its name on the command line.
        title: What was done.
        rows: The contestants.
        bars: What must hold.
        notes: What the reader must know besides.
        unmeasured: Why a bar of the scenario could not be measured; empty where all were.
        failures: Wrong or missing answers; any fails the scenario.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmeasured: str = ""
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every bar holds and every answer was right."""
        return not self.failures and all(bar.passed for bar in self.bars)
