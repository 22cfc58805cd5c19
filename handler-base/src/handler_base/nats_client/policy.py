"""When failed durable work is tried again, and when it is given up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["FailurePolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """Attempts and the pauses between them."""

    max_deliver: int = 5
    """Attempts before the work is dead-lettered."""
    schedule: tuple[timedelta, ...] = (
        timedelta(seconds=1),
        timedelta(seconds=5),
        timedelta(seconds=15),
        timedelta(seconds=60),
    )
    """Pause after each failed attempt; the last one repeats."""
    jitter: float = 0.2
    """Share of a pause by which it may be longer or shorter."""

    def delay(self, attempt: int) -> timedelta:
        """Return the pause after the failure of an attempt.

        Args:
            attempt: 1 for the first.
        """
        if not self.schedule:
            return timedelta(0)
        step = self.schedule[min(max(attempt, 1), len(self.schedule)) - 1]
        return step * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads load, keeps no secret

    def is_last(self, attempt: int) -> bool:
        """Whether the work is given up when this attempt fails."""
        return attempt >= self.max_deliver
