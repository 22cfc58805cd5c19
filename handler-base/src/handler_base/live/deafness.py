"""Sessions whose rest is passed over: an error for each message of a stream would be one too many."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Deafness"]

_SECONDS: Final = 2.0


class Deafness:
    """Remembers sessions that ended or were refused, as long as they go on talking."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, session_id: str) -> bool:
        until = self._until.get(session_id)
        return until is not None and until > time.monotonic()

    def add(self, session_id: str) -> None:
        """Pass over what comes for a session in the next seconds."""
        self._until[session_id] = time.monotonic() + _SECONDS

    def discard(self, session_id: str) -> None:
        """Listen to a session again."""
        self._until.pop(session_id, None)

    def sweep(self) -> None:
        """Forget those that fell silent."""
        now = time.monotonic()
        self._until = {name: until for name, until in self._until.items() if until > now}
