"""A bounded number of slots, a bounded queue before them, premium first."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import timedelta
from typing import Final

from handler_base.errors import OverloadedError

__all__ = ["Admission", "Slot"]

_SMOOTHING: Final = 0.1
"""Weight of the newest request in the running mean of service time."""

_LONGEST_HINT: Final = 30.0


class Admission:
    """Lets at most `slots` requests run and at most `queue_size` wait.

    A request beyond that is refused at once. Waiting premium requests go before waiting standard ones;
    within a class the order of arrival holds.

    Args:
        slots: Requests that may run at once.
        queue_size: Requests that may wait.
    """

    def __init__(self, slots: int, queue_size: int) -> None:
        self._slots = slots
        self._queue_size = queue_size
        self._running = 0
        self._premium: deque[asyncio.Future[None]] = deque()
        self._standard: deque[asyncio.Future[None]] = deque()
        self._mean_seconds = 0.0

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._premium) + len(self._standard)

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return max(0, self._slots - self._running)

    async def acquire(self, *, premium: bool = False, accepted: bool = False) -> None:
        """Take a slot, waiting in the queue for one.

        Args:
            premium: Wait before standard requests.
            accepted: The work is already ours (it was pulled), so it waits however long the queue is.

        Raises:
            OverloadedError: Slots and queue are full; it says when to try again.
        """
        if self._running < self._slots:
            self._running += 1
            return
        if not accepted and self.waiting >= self._queue_size:
            raise OverloadedError(retry_after=self.retry_after())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._premium if premium else self._standard
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was handed over just as the wait was cancelled: pass it on.
                self._hand_over()
            elif turn in queue:  # not passed over by a slot that came free just then
                queue.remove(turn)
            raise

    def release(self, seconds: float) -> None:
        """Give a slot back.

        Args:
            seconds: How long it was held; feeds the retry hint.
        """
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        self._hand_over()

    def retry_after(self) -> timedelta:
        """Estimate when a refused request would find a place."""
        seconds = self._mean_seconds * (self.waiting + 1) / self._slots
        return timedelta(seconds=min(max(seconds, 0.1), _LONGEST_HINT))

    def _hand_over(self) -> None:
        for queue in (self._premium, self._standard):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._running -= 1


class Slot:
    """A slot that is held from now on, until it is released.

    Args:
        admission: Whose it is.
    """

    __slots__ = ("_admission", "_since")

    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission
        self._since = time.perf_counter()

    def release(self) -> None:
        """Give it back; once more changes nothing."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.release(time.perf_counter() - self._since)
