"""A point in time by which an answer is due, handed down through every call it pays for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from handler_base.errors import DeadlineExceededError

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A due time on the monotonic clock, so that a step of the wall clock moves nothing.

    Attributes:
        due: Seconds on `time.monotonic`.
    """

    due: float

    @classmethod
    def after(cls, budget: timedelta) -> Deadline:
        """Return the deadline that lies `budget` from now."""
        return cls(time.monotonic() + budget.total_seconds())

    def remaining(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self.due - time.monotonic())

    def expired(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self.due

    def check(self) -> None:
        """Raise when nothing is left.

        Raises:
            DeadlineExceededError: The due time has passed.
        """
        if self.expired():
            raise DeadlineExceededError

    def sooner(self, budget: timedelta) -> Deadline:
        """Return the earlier of this deadline and `budget` from now: the share of one stage."""
        return Deadline(min(self.due, time.monotonic() + budget.total_seconds()))

    def shrunk_by(self, reserve: timedelta) -> Deadline:
        """Return this deadline less a reserve kept for the work after the call."""
        return Deadline(self.due - reserve.total_seconds())
