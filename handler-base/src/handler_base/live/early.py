"""What another replica tells of a session before its record comes: the two go different ways."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from handler_base.live.arrivals import Arrival
from handler_base.live.passing import Done

__all__ = ["Early", "Told"]

_SECONDS: Final = 3.0


@dataclass(slots=True)
class Told:
    """What was told of a session.

    Attributes:
        made: What the owner before made for its successor.
        done: Who has passed on all there was.
        at: When the newest of it came, on the monotonic clock.
    """

    made: list[Arrival] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    at: float = field(default_factory=time.monotonic)


class Early:
    """Keeps it for a while, session by session."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}

    def keep(self, session_id: str, *, made: Arrival | None = None, done: Done | None = None) -> None:
        """Keep what was told."""
        told = self._told.setdefault(session_id, Told())
        told.at = time.monotonic()
        if made is not None:
            told.made.append(made)
        if done is not None:
            told.done.append(done)

    def take(self, session_id: str) -> Told:
        """Take out what was told of a session."""
        return self._told.pop(session_id, None) or Told()

    def sweep(self) -> None:
        """Let go of what is old: its record came not, or went to another."""
        oldest = time.monotonic() - _SECONDS
        for session_id in [name for name, told in self._told.items() if told.at < oldest]:
            del self._told[session_id]
