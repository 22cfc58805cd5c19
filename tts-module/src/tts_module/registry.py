"""Knows the custom voices at any time: looks for them at the start, every so often, and when asked to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Final

from handler_base.messages import unix_now
from handler_base.messages.subjects import TTS_VOICES_REFRESH
from handler_base.nats_client import Msg, NatsConnection, Subscription
from handler_base.telemetry import metrics
from tts_module.voices import Voice, find_voices

__all__ = ["VoiceRegistry"]

log = logging.getLogger(__name__)

_STOPPING: Final = 1.0


class VoiceRegistry:
    """The custom voices of a directory.

    Args:
        directory: Where they are; empty: there are none.
        every: Pause between two looks; zero: only when asked to.

    Attributes:
        last_refresh: Unix seconds of the last look; 0 before the first.
    """

    def __init__(self, directory: str, every: timedelta) -> None:
        self._directory = directory
        self._every = every
        self._voices: dict[str, Voice] = {}
        self._looking = asyncio.Lock()
        self._begun = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None
        self._connection: NatsConnection | None = None
        self.last_refresh = 0

    @property
    def voices(self) -> list[Voice]:
        """All of them, by name."""
        return list(self._voices.values())

    def find(self, name: str) -> Voice | None:
        """Return the voice of this name."""
        return self._voices.get(name)

    def attach(self, connection: NatsConnection) -> None:
        """Hear of refreshes that another replica answers."""
        self._connection = connection

    async def start(self) -> None:
        """Look for the first time, and keep looking."""
        await self.refresh()
        if self._connection is not None:
            self._subscription = await self._connection.subscribe(TTS_VOICES_REFRESH.pattern, self._hear)
        if self._directory and self._every:
            self._begin(self._watch())

    async def stop(self, budget: timedelta) -> None:
        """Look no more."""
        if self._subscription is not None:
            await self._subscription.drain(timeout=budget)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOPPING)

    async def refresh(self) -> None:
        """Look now; who asks while somebody looks waits for a look that begins after it, all of them for one."""
        begun_before = self._begun
        async with self._looking:
            if self._begun == begun_before:
                self._begun += 1
                await self._look()

    async def _look(self) -> None:
        try:
            if self._directory:
                self._voices = await asyncio.to_thread(find_voices, Path(self._directory), self._voices)
            self.last_refresh = unix_now()
        except Exception:
            # Whatever a file system does: the voices that are known stay.
            metrics.SWALLOWED_ERRORS.of("voices").inc()
            log.exception("the voices cannot be read")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every.total_seconds())
            await self.refresh()

    def _hear(self, _msg: Msg) -> None:
        """Look as well when another replica was asked to; here a look that is under way is enough."""
        if not self._looking.locked():
            self._begin(self.refresh())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
