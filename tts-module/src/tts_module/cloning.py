"""Voices made of recordings: the speech server conditions on each once, and it is used until others push it out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from handler_base.clients import TTSClient
from handler_base.deadline import Deadline

__all__ = ["ClonedVoices"]

_PREFIX: Final = "clone-"


@dataclass(eq=False, slots=True)
class _Clone:
    name: str
    making: asyncio.Lock
    made: bool = False
    users: int = 0


class ClonedVoices:
    """Keeps what the speech server made of recordings.

    Args:
        tts: Asks the speech server.
        most: How many are kept; what is being spoken with is kept beyond that.
    """

    def __init__(self, tts: TTSClient, most: int) -> None:
        self._tts = tts
        self._most = most
        self._clones: OrderedDict[str, _Clone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clones)

    def is_clone(self, name: str) -> bool:
        """Whether a name is one that was made here."""
        return name.startswith(_PREFIX)

    @contextlib.asynccontextmanager
    async def using(self, digest: str, load: Callable[[], Awaitable[bytes]], deadline: Deadline) -> AsyncIterator[str]:
        """Give the name under which a recording can be spoken with; it holds until the context ends.

        Args:
            digest: Of the recording.
            load: Returns the recording; called where it is not known yet.
            deadline: When the voice is due.

        Raises:
            FleetError: The speech server cannot make voices, or failed.
        """
        clone = self._clones.setdefault(digest, _Clone(f"{_PREFIX}{digest[:40]}", asyncio.Lock()))
        self._clones.move_to_end(digest)
        clone.users += 1
        try:
            # Who comes while it is made waits for it, and tries again where it failed.
            async with clone.making:
                if not clone.made:
                    await self._tts.clone_voice(clone.name, await load(), deadline=deadline)
                    clone.made = True
            yield clone.name
        finally:
            clone.users -= 1
            self._tidy()

    def _tidy(self) -> None:
        """Let go of what failed and of what was used longest ago."""
        idle = [digest for digest, clone in self._clones.items() if not clone.users]
        beyond = len(self._clones) - self._most
        for index, digest in enumerate(idle):
            if not self._clones[digest].made or index < beyond:
                self._tts.forget_voice(self._clones.pop(digest).name)
