"""Waiting for a condition, with a time limit, where there is no event to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["wait_until"]


async def wait_until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], *, timeout: float = 5.0, every: float = 0.005
) -> float:
    """Wait until a condition is true.

    Args:
        condition: A plain or async callable without arguments.
        timeout: Seconds.
        every: Seconds between two looks.

    Returns:
        Seconds it took.

    Raises:
        TimeoutError: It did not become true in time.
    """
    began = time.monotonic()
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return time.monotonic() - began
        if time.monotonic() - began > timeout:
            raise TimeoutError("the condition did not become true in time")
        await asyncio.sleep(every)
