"""The circuit breaker of one endpoint: a server that keeps failing is left alone for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

__all__ = ["BreakerOptions", "BreakerState", "CircuitBreaker"]


class BreakerState(IntEnum):
    """State of a breaker, with the numbers of its metric."""

    CLOSED = 0
    """Calls go through."""
    HALF_OPEN = 1
    """One call is on trial."""
    OPEN = 2
    """Calls are refused."""


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """When a breaker opens and for how long.

    Attributes:
        failures: Failures in a row that open it.
        pause: Time it stays open at first; doubled by every trial that fails.
        longest_pause: Bound of the doubling.
    """

    failures: int = 5
    pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=30)


class CircuitBreaker:
    """Opens after failures in a row, lets one call through after a pause, closes when that one succeeds.

    Every call that `allow` let through ends in exactly one of `success`, `failure` or `release`.

    Args:
        options: Thresholds and pauses.
        on_change: Told of every new state, for the metric.
        clock: Seconds that only go forward.
    """

    __slots__ = ("_clock", "_failures", "_on_change", "_open_until", "_options", "_pause", "_state")

    def __init__(
        self,
        options: BreakerOptions | None = None,
        on_change: Callable[[BreakerState], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or BreakerOptions()
        self._on_change = on_change
        self._clock = clock
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._pause = self._options.pause.total_seconds()
        self._open_until = 0.0

    @property
    def state(self) -> BreakerState:
        """The state now; an open breaker whose pause is over is still open until a call asks."""
        return self._state

    @property
    def failing(self) -> bool:
        """Whether the last call that said anything about the endpoint's health failed."""
        return self._failures > 0

    def allow(self) -> bool:
        """Whether a call may be made now; the one after the pause is the trial."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.HALF_OPEN or self._clock() < self._open_until:
            return False
        self._change(BreakerState.HALF_OPEN)
        return True

    def wait(self) -> float:
        """Seconds until a trial may be made; 0 when calls may be made now."""
        return max(0.0, self._open_until - self._clock()) if self._state is BreakerState.OPEN else 0.0

    def success(self) -> None:
        """Note that the endpoint answered."""
        self._failures = 0
        if self._state is not BreakerState.CLOSED:
            self._pause = self._options.pause.total_seconds()
            self._change(BreakerState.CLOSED)

    def failure(self) -> None:
        """Note that the endpoint failed."""
        self._failures += 1
        if self._state is BreakerState.HALF_OPEN:
            self._pause = min(2 * self._pause, self._options.longest_pause.total_seconds())
            self._open()
        elif self._state is BreakerState.CLOSED and self._failures >= self._options.failures:
            self._open()

    def release(self) -> None:
        """Note that the call ended without saying anything about the endpoint, as when it was cancelled."""
        if self._state is BreakerState.HALF_OPEN:
            self._open_until = self._clock()
            self._change(BreakerState.OPEN)

    def _open(self) -> None:
        # Replicas that saw the same failures must not try again at the same moment.
        self._open_until = self._clock() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        if self._on_change is not None:
            self._on_change(state)
