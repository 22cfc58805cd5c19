"""Pauses between attempts: longer each time, with jitter, up to a limit."""

from __future__ import annotations

import random

__all__ = ["Pauses"]


class Pauses:
    """Counts failures.

    Args:
        first: Seconds after the first.
        most: Seconds at most.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        """Count a failure; return how long to wait."""
        step = min(self._first * 2.0 ** min(self._failures, 16), self._most)
        self._failures += 1
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """Begin again."""
        self._failures = 0
