"""What a round costs, and how rounds become one figure with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cost", "Spread", "percentile", "ratios"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, and their range.

    Attributes:
        median: The figure that counts.
        low: The smallest round.
        high: The largest round.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one or more values.

        Raises:
            ValueError: There is no value.
        """
        if not values:
            raise ValueError("a spread needs a value")
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 2) -> str:
        """The figure as it stands in the table: median, and the range where there is one."""
        if self.low == self.high:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one round cost the process under measurement.

    Attributes:
        cpu_seconds: User and system time it used, with what it did after the last answer.
        wall_seconds: Seconds from the first question to the last answer.
        requests: Questions asked.
        failures: Questions without the right answer.
    """

    cpu_seconds: float
    wall_seconds: float
    requests: int
    failures: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU time a request."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests a second of wall time."""
        return self.requests / self.wall_seconds


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie, by the nearest rank.

    Raises:
        ValueError: There is no value, or the share is not within 0..1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError("a percentile needs values and a share between 0 and 1")
    ordered = sorted(values)
    # Nearest rank: the smallest value with at least this share at or below it.
    rank = -(-len(ordered) * share // 1)
    return ordered[max(int(rank), 1) - 1]


def ratios(ours: Sequence[Cost], peer: Sequence[Cost]) -> Spread:
    """Return our CPU time a request over the peer's, round by round, so that a slow minute hits both.

    Raises:
        ValueError: The two did not run the same number of rounds.
    """
    return Spread.of([mine.cpu_us / theirs.cpu_us for mine, theirs in zip(ours, peer, strict=True)])
