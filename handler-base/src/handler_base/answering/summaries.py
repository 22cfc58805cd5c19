"""Long conversations are summed up after an answer, so that no question waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from handler_base.answering.backends import Backends
from handler_base.config import AnsweringSettings
from handler_base.errors import FleetError
from handler_base.rag import turns_to_summarise
from handler_base.sessions import Turn

__all__ = ["Summaries"]

log = logging.getLogger(__name__)

_AT_ONCE: Final = 2
"""Summaries made at the same time; a conversation that finds no room is looked at again after its next answer."""


class Summaries:
    """Sums up the turns of conversations that are over the history's budget.

    Args:
        backends: The model, and where conversations are kept.
        settings: Whether to, and the budget.
    """

    def __init__(self, backends: Backends, settings: AnsweringSettings) -> None:
        self._backends = backends
        self._enabled = settings.summarise and settings.history_token_budget > 0
        # The summary takes a share of its own of the history's budget: see `build_prompt`.
        self._budget = settings.history_token_budget // 2
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def consider(self, user_id: str, session_id: str, turns: Sequence[Turn], *, model: str) -> None:
        """Look at a conversation after its answer; begin a summary when it is due.

        Args:
            user_id: Whose it is.
            session_id: Which of theirs.
            turns: Those before the answer that no summary covers.
            model: Writes the summary.
        """
        key = user_id, session_id
        if not self._enabled or key in self._running or len(self._running) >= _AT_ONCE:
            return
        if not turns_to_summarise(turns, budget=self._budget):
            return
        task = asyncio.create_task(self._sum_up(*key, model=model), name="summary")
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def close(self) -> None:
        """Leave what is not finished to the next answer of its conversation."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _sum_up(self, user_id: str, session_id: str, *, model: str) -> None:
        sessions = self._backends.sessions
        summary, covered, turns = await sessions.unsummarised(user_id, session_id)
        oldest = turns_to_summarise(turns, budget=self._budget)
        if not oldest:
            return
        try:
            summary = await self._backends.summariser.summarise(summary, turns[:oldest], model=model)
        except FleetError as error:
            log.info("a conversation was not summed up", extra={"error_type": error.type.value})
            return
        await sessions.save_summary(user_id, session_id, summary, covered + oldest)
