"""The pieces of a numbered stream in their order, whatever order they arrive in."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

__all__ = ["InOrder"]

T = TypeVar("T")


class InOrder(Generic[T]):
    """Holds back what came early; what comes again is dropped.

    Attributes:
        next: Number of the piece that is waited for.
    """

    def __init__(self) -> None:
        self.next = 0
        self._early: list[tuple[int, int, T]] = []
        # Two pieces of one number are told apart without a look at what they hold.
        self._ties = count()

    def take(self, number: int, piece: T) -> list[T]:
        """Return the pieces whose turn it is now."""
        heapq.heappush(self._early, (number, next(self._ties), piece))
        ready: list[T] = []
        while self._early and self._early[0][0] <= self.next:
            found, _, earliest = heapq.heappop(self._early)
            if found == self.next:
                ready.append(earliest)
                self.next += 1
        return ready
