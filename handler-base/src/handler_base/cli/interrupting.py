"""Ctrl-C as a wish to stop in order, before it ends the command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

__all__ = ["on_interrupt"]


@contextmanager
def on_interrupt(stop: Callable[[], Coroutine[None, None, None]]) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C; the second ends the command as usual."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    stops: set[asyncio.Task[None]] = set()

    def give_back() -> None:
        if loop.remove_signal_handler(signal.SIGINT):
            signal.signal(signal.SIGINT, before)

    def interrupted() -> None:
        give_back()
        stops.add(loop.create_task(stop()))

    try:
        loop.add_signal_handler(signal.SIGINT, interrupted)
    except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        give_back()
