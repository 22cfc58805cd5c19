"""When a failed call may be made again: a budget shared by all calls of a client, and a growing, jittered delay."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["RetryBudget", "RetryOptions", "backoff"]


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How often and how soon a call is made again.

    Attributes:
        most: Most repeats of one call.
        first_delay: Bound of the delay before the first repeat; doubled for every further one.
        longest_delay: Longest delay, also for a delay a server asks for: beyond it the caller is told to wait.
        share: Repeats allowed for each call, over time.
        reserve: Repeats that may be made in a row before the share counts.
    """

    most: int = 2
    first_delay: timedelta = timedelta(milliseconds=50)
    longest_delay: timedelta = timedelta(seconds=5)
    share: float = 0.1
    reserve: float = 10.0


class RetryBudget:
    """A token bucket that keeps repeats to a share of the calls, so that they cannot bury a server that is down.

    Args:
        share: Tokens each call puts in.
        reserve: Most tokens the bucket holds, and what it starts with.
    """

    __slots__ = ("_reserve", "_share", "_tokens")

    def __init__(self, share: float, reserve: float) -> None:
        self._share = share
        self._reserve = reserve
        self._tokens = reserve

    def deposit(self) -> None:
        """Count one call."""
        if self._tokens < self._reserve:
            self._tokens = min(self._reserve, self._tokens + self._share)

    def withdraw(self) -> bool:
        """Take the token of one repeat; False where there is none."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def backoff(repeat: int, options: RetryOptions) -> float:
    """Return the delay in seconds before a repeat, counted from 0, with full jitter."""
    bound = min(options.first_delay.total_seconds() * 2**repeat, options.longest_delay.total_seconds())
    return random.uniform(0.0, bound)  # noqa: S311 - spreads load, guards nothing
