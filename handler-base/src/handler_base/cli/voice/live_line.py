"""What is understood while somebody speaks: a line that is written anew, the words that stay brighter than the rest."""

from __future__ import annotations

import shutil
import sys
from itertools import takewhile
from typing import Final

from handler_base.cli.terminal import clean_line, print_text

__all__ = ["LiveLine", "Words"]

_ERASE: Final = "\r\x1b[K"
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"


class Words:
    """Tells which words of an utterance are confirmed.

    A word is, once two readings in a row have it at the same place with another word behind it.
    """

    def __init__(self) -> None:
        self._number = -1
        self._last: list[str] = []
        self._confirmed = 0

    def hear(self, number: int, text: str) -> tuple[str, str]:
        """Take a reading.

        Args:
            number: Of the utterance.
            text: All that it says so far.

        Returns:
            The words that stay, and the words that may still change.
        """
        words = text.split()
        if number != self._number:
            self._number, self._last, self._confirmed = number, [], 0
        agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words[:-1], self._last, strict=False)))
        self._confirmed = max(self._confirmed, agreed)
        self._last = words
        return " ".join(words[: self._confirmed]), " ".join(words[self._confirmed :])


class LiveLine:
    """The last line of the output: written anew on a terminal, a line each time elsewhere.

    Args:
        shown: Whether it is shown at all.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown
        self._terminal = sys.stdout.isatty()
        self._written = False

    def show(self, confirmed: str, tentative: str) -> None:
        """Show words that stay, and words that may still change."""
        confirmed, tentative = clean_line(confirmed), clean_line(tentative)
        if not self._shown:
            return
        if not self._terminal:
            print_text(" ".join(part for part in ("~", confirmed, f"[{tentative}]" if tentative else "") if part))
            return
        # One column is left free: a line that fills the last one would go on in the next.
        room = shutil.get_terminal_size().columns - 1
        tentative = tentative[-room:]
        kept = room - len(tentative) - 1
        confirmed = confirmed[-kept:] if kept > 0 else ""
        space = " " if confirmed and tentative else ""
        self._write(f"{_ERASE}{_BOLD}{confirmed}{_PLAIN}{space}{_DIM}{tentative}{_PLAIN}")
        self._written = True

    def clear(self) -> None:
        """Make room for a line that stays."""
        if self._written:
            self._written = False
            self._write(_ERASE)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
