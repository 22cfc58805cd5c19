"""Pauses between attempts at something that is away, the same for all that needs the archive."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

__all__ = ["Pauses", "StoppedError", "sleep_unless"]


class StoppedError(Exception):
    """The worker stops: what was to be tried again is left to whoever comes next."""


class Pauses:
    """Doubles from one failure to the next.

    Each pause is any time up to the step: replicas that saw the same database come back do not meet there.

    Args:
        first: Seconds of the first step.
        most: Seconds of the longest.
    """

    __slots__ = ("_failures", "_first", "_most")

    def __init__(self, first: float = 0.1, most: float = 30.0) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait."""
        step = min(self._first * 2.0 ** min(self._failures, 32), self._most)
        self._failures += 1
        return random.uniform(0, step)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """Start again from the first step."""
        self._failures = 0


async def sleep_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for some time.

    Raises:
        StoppedError: The worker stops, or did before.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    if stopping.is_set():
        raise StoppedError
