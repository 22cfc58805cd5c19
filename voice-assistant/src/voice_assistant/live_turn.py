"""One answer in a live session, which can be stopped at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from handler_base.messages import VoiceResponse
from voice_assistant.floor import Reason
from voice_assistant.live_outlet import LiveOutlet

__all__ = ["LiveTurn"]


class LiveTurn:
    """Makes and speaks an answer in a task of its own.

    Args:
        outlet: Where it goes.

    Attributes:
        outlet: As given.
        reason: Why it was stopped; None while it was not.
    """

    def __init__(self, outlet: LiveOutlet) -> None:
        self.outlet = outlet
        self.reason: Reason | None = None
        self._task: asyncio.Task[VoiceResponse] | None = None

    @property
    def spoke(self) -> bool:
        """Whether sound of it went out."""
        return self.outlet.spoke

    def stop(self, reason: Reason) -> None:
        """Let nothing more of it leave, and close what is open for it."""
        if self.reason is None:
            self.reason = reason
            self.outlet.stopped = True
            if self._task is not None:
                self._task.cancel()

    def unheard(self) -> None:
        """Tell the listening side nothing more: the session is over."""
        self.outlet.listened = False

    async def run(self, make: Callable[[], Coroutine[Any, Any, VoiceResponse]]) -> VoiceResponse | None:
        """Make the answer and wait until it was heard; None when it was stopped before.

        Args:
            make: Makes it.
        """
        self._task = asyncio.create_task(make(), name="live-turn")
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            # The service ends, or the time is over.
            self.stop(Reason.ENDED)
            await asyncio.wait({self._task})
            raise
        return None if self._task.cancelled() else self._task.result()
