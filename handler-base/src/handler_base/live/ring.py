"""Copies of the newest messages of sessions that others have, in case one of those dies."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from handler_base.live.arrivals import Arrival

__all__ = ["MARGIN", "Ring"]

_SECONDS: Final = 3.0
MARGIN: Final = 1.0
"""Seconds by which two replicas may differ on when they heard the same message: clocks, and loops that were busy."""

_MOST_BYTES: Final = 256 * 1024
"""Of one session."""


class Ring:
    """Keeps messages for a while, session by session."""

    def __init__(self) -> None:
        self._sessions: dict[str, deque[Arrival]] = {}
        self._bytes: dict[str, int] = {}

    def keep(self, session_id: str, arrival: Arrival) -> None:
        """Keep a message."""
        kept = self._sessions.get(session_id)
        if kept is None:
            kept = self._sessions[session_id] = deque()
            self._bytes[session_id] = 0
        kept.append(arrival)
        self._bytes[session_id] += len(arrival.msg.data)
        oldest = arrival.at - _SECONDS
        while kept and (kept[0].at < oldest or self._bytes[session_id] > _MOST_BYTES):
            self._bytes[session_id] -= len(kept.popleft().msg.data)

    def take(self, session_id: str, after: float) -> list[Arrival]:
        """Take out what came for a session after a moment; what came before it goes as well."""
        self._bytes.pop(session_id, None)
        return [arrival for arrival in self._sessions.pop(session_id, ()) if arrival.at > after]

    def sweep(self) -> None:
        """Let go of what is old."""
        oldest = time.time() - _SECONDS
        for session_id in [name for name, kept in self._sessions.items() if not kept or kept[-1].at < oldest]:
            self.take(session_id, oldest)
