"""What is missing, or came twice, in a row of numbered chunks."""

from __future__ import annotations

__all__ = ["Gaps"]


class Gaps:
    """Follows the numbers of chunks; clients that do not number send 0 every time."""

    __slots__ = ("_last", "_numbered")

    def __init__(self) -> None:
        self._last = -1
        self._numbered = False

    def take(self, sequence: int) -> int | None:
        """Take the next number.

        Returns:
            How many are missing before it; None for one that was there before.
        """
        if sequence == 0 and not self._numbered:
            self._last = 0
            return 0
        if self._last < 0 or sequence == 0:  # joined in the middle, or begun anew
            self._numbered, self._last = True, sequence
            return 0
        self._numbered = True
        if sequence <= self._last:
            return None
        missing, self._last = sequence - self._last - 1, sequence
        return missing
