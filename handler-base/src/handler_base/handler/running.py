"""The requests that run here, by their id, so that a cancel message finds them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

__all__ = ["RunningRequests"]

_REMEMBER_SECONDS: Final = 30.0
_REMEMBER_MOST: Final = 1024


class RunningRequests:
    """Cancels by request id, also when the cancel message overtakes the request."""

    def __init__(self) -> None:
        self._tasks: dict[str, set[asyncio.Task[object]]] = {}
        self._early: OrderedDict[str, float] = OrderedDict()
        self._cancelled: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self._tasks.values())

    def add(self, request_id: str, task: asyncio.Task[object]) -> bool:
        """Enter a request.

        Returns:
            False when it was cancelled before it came.
        """
        self._tasks.setdefault(request_id, set()).add(task)
        return not self._take_early(request_id)

    def discard(self, request_id: str, task: asyncio.Task[object]) -> None:
        """Strike a request off."""
        self._cancelled.discard(task)
        tasks = self._tasks.get(request_id)
        if tasks is not None:
            tasks.discard(task)
            if not tasks:
                del self._tasks[request_id]

    def cancel(self, request_id: str) -> int:
        """Cancel what runs under an id; when nothing does, remember it for a short while.

        Returns:
            How many requests were cancelled.
        """
        tasks = self._tasks.get(request_id, set())
        for task in tasks:
            self._cancelled.add(task)
            task.cancel()
        if not tasks:
            self._early[request_id] = time.monotonic() + _REMEMBER_SECONDS
            while len(self._early) > _REMEMBER_MOST:
                self._early.popitem(last=False)
        return len(tasks)

    def was_cancelled(self, task: asyncio.Task[object]) -> bool:
        """Whether a cancel message, not the stop of the service, cancelled a task."""
        return task in self._cancelled

    def _take_early(self, request_id: str) -> bool:
        due = self._early.pop(request_id, 0.0)
        return due > time.monotonic()
