"""How many messages the server may still send on the pull requests made so far."""

from __future__ import annotations

__all__ = ["PullLedger"]


class PullLedger:
    """Counts messages asked for and not yet come.

    A message does not tell which pull it answers, so messages are counted over all pulls; a status does, by its
    token, so what a pull ended without is taken off once and strays change nothing.

    Attributes:
        pending: Messages that may still come.
    """

    __slots__ = ("_next", "_pulls", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._next = 0
        self._pulls: dict[str, tuple[int, float]] = {}

    def opened(self, batch: int, expires_at: float) -> str:
        """Note a pull.

        Args:
            batch: Messages asked for.
            expires_at: When the server has ended it for certain.

        Returns:
            Its token, unique here.
        """
        self._next += 1
        token = f"{self._next:x}"
        self._pulls[token] = (batch, expires_at)
        self.pending += batch
        return token

    def received(self) -> None:
        """Note that a message came."""
        if self.pending > 0:
            self.pending -= 1

    def closed(self, token: str, left: int | None) -> bool:
        """Note that a pull ended.

        Args:
            token: Of the pull.
            left: Messages it ended without; None when the server did not say: then none of its batch came.

        Returns:
            False for a stray: a pull that ended before or was never made.
        """
        pull = self._pulls.pop(token, None)
        if pull is None:
            return False
        batch = pull[0]
        self.pending = max(0, self.pending - (batch if left is None else min(left, batch)))
        return True

    def knows(self, token: str) -> bool:
        """Whether a pull is open."""
        return token in self._pulls

    def expire(self, now: float) -> None:
        """Forget pulls whose time is over; when none is left, nothing can come any more."""
        for token in [token for token, (_, expires_at) in self._pulls.items() if expires_at <= now]:
            del self._pulls[token]
        if not self._pulls:
            self.pending = 0

    def clear(self) -> None:
        """Forget all pulls; their tokens are never used again."""
        self._pulls.clear()
        self.pending = 0
