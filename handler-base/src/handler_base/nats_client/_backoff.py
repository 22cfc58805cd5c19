"""Pauses between attempts: doubled each time, with jitter, up to a limit."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Counts failures and tells how long to pause.

    Args:
        first: Seconds after the first failure.
        most: Seconds at most.
    """

    __slots__ = ("failures", "first", "most")

    def __init__(self, first: float, most: float) -> None:
        self.first = first
        self.most = most
        self.failures = 0

    def pause(self) -> float:
        """Count a failure and return the seconds to wait: the full step at most, half of it at least."""
        step = min(self.first * 2.0 ** min(self.failures, 32), self.most)
        self.failures += 1
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """Start again from the first step."""
        self.failures = 0
