"""Text with the white space that speech needs: one blank or one line end between words, none at the ends."""

from __future__ import annotations

from typing import Final

__all__ = ["BLANK", "CELL", "LINE", "LOOSE", "SpacedText"]

JOINED, LOOSE, BLANK, CELL, LINE = range(5)
_CLOSING: Final = ".,;:!?)]}%'\"\u201d\u2019\u2026"
_ENDS_PHRASE: Final = ".,;:!?\u2026\u3002\uff01\uff1f"


class SpacedText:
    """A text in the making; white space is written with the words behind it, so that none is left over."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._gap = JOINED
        self._opened = ""  # parentheses that nothing stands in yet
        self._last = ""

    def take(self) -> str:
        """Return what was written since the last time."""
        text = "".join(self._parts)
        self._parts.clear()
        return text

    def gap(self, width: int) -> None:
        """Leave white space before the next words; the widest counts."""
        if width > self._gap and not self._opened:
            self._gap = width

    def loosen(self) -> None:
        """Something was left out here: a blank before it is only one if words follow, not a full stop."""
        if self._gap <= BLANK and not self._opened:
            self._gap = LOOSE

    def open(self) -> None:
        """Write an opening parenthesis, once something is in it."""
        if len(self._opened) < 8:
            self._opened += "("

    def shut(self) -> None:
        """Write a closing parenthesis, unless nothing is in it."""
        if self._opened:
            self._opened = self._opened[1:]
            self.loosen()
        else:
            self.write(")")

    def write(self, text: str) -> None:
        """Write text whose white space is blanks."""
        body = text.strip(" ")
        if not body:
            if text:
                self.gap(BLANK)
            return
        if text[0] == " ":
            self.gap(BLANK)
        if "  " in body:
            body = " ".join(part for part in body.split(" ") if part)
        self._parts.append(self._lead(body[0]))
        self._parts.append(body)
        self._last = body[-1]
        self._gap = BLANK if text[-1] == " " else JOINED

    def _lead(self, first: str) -> str:
        gap, opened = self._gap, self._opened
        self._opened = ""
        if gap == JOINED or not self._last:
            return opened
        if gap == LINE:
            return f"\n{opened}"
        if gap == LOOSE and not opened and first in _CLOSING:
            return ""
        if gap == CELL and self._last not in _ENDS_PHRASE:
            return f", {opened}"
        return f" {opened}"
