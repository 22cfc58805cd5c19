"""What is skipped in Markdown as it comes, however long it is: blocks of code, targets of links, addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from handler_base.speech import marks
from handler_base.speech.spacing import LINE, SpacedText

__all__ = ["LOOK", "Skipping"]

LOOK: Final = 200
"""Characters that are looked ahead at most."""


class Skipping:
    """A text in pieces, of which each part takes as much as it can.

    A part is a method that takes the text from a place on and returns how far it came, and may say which part is next.
    One that came nowhere and names no other waits for more.
    """

    def __init__(self) -> None:
        self._text = ""
        self._before = ""  # the character before `_text`
        self._final = False
        self._out = SpacedText()
        self._part: Callable[[Any, str, int], int]
        self._code = 0  # backticks that opened inline code
        self._fence = ""  # the run that opened a block of code
        self._depth = 0  # open parentheses in the target of a link
        self._number = 0  # the last number of a list
        self._heading = False
        self._begin_line()

    @property
    def held(self) -> int:
        """Characters held back now."""
        return len(self._text)

    def feed(self, piece: str) -> str:
        """Take the next piece; return its words as far as they are known to be words."""
        self._text += piece
        return self._go_on()

    def close(self) -> str:
        """Return what was held back; the text is complete."""
        self._final = True
        return self._go_on()

    def _go_on(self) -> str:
        text = self._text
        at = 0
        while at < len(text):
            part = self._part
            reached = part(self, text, at)
            if reached == at and part is self._part:
                break  # what stands here depends on what is to come
            at = reached
        if at:
            self._before = text[at - 1]
            self._text = text[at:]
        return self._out.take()

    def _grows(self, text: str, end: int) -> bool:
        """Tell whether what ends here may still go on."""
        return end >= len(text) and not self._final

    def _begin_line(self) -> None:
        """Go on with the part that takes what stands at the start of a line."""
        raise NotImplementedError

    def _resume(self) -> None:
        """Go on with the part that takes words."""
        raise NotImplementedError

    def _rest_of_line(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        if end < 0:
            return len(text)
        self._resume()
        return end

    def _open_block(self, run: str, end: int) -> int:
        self._fence = run
        self._out.gap(LINE)
        self._part = Skipping._block
        return end

    def _block(self, text: str, at: int) -> int:
        """Skip code up to a run of marks that is no shorter than the one before it."""
        mark = self._fence[0]
        start = text.find(self._fence, at)
        if start < 0:
            return len(text) if self._final else max(at, len(text.rstrip(mark)))
        end = start
        while text.startswith(self._fence, end):
            end += len(self._fence)
        while end < len(text) and text[end] == mark:
            end += 1
        if self._grows(text, end):
            return end - len(self._fence)
        self._begin_line()
        return end

    def _target(self, text: str, at: int) -> int:
        """Skip what a link points at, to the parenthesis that closes it; one that never closes ends at a blank."""
        for found in marks.LINK_STOP.finditer(text, at):
            mark = found[0]
            if mark == "(":
                self._depth += 1
                continue
            if mark == ")":
                self._depth -= 1
                if self._depth:
                    continue
                return self._end_target(found.end())
            title = marks.LINK_REST.match(text, found.start()) if mark != "\n" else None
            end = title.end() if title else found.start()
            if title and self._grows(text, end) and end - found.start() < LOOK:
                return found.start()
            closes = title and self._depth == 1 and text.startswith(")", end)
            return self._end_target(end + 1 if closes else found.start())
        return len(text)

    def _end_target(self, end: int) -> int:
        self._depth = 0
        self._resume()
        return end

    def _host(self, text: str, at: int) -> int:
        """Say the host of an address."""
        found = marks.HOST.match(text, at)
        end = found.end() if found else at
        if self._grows(text, end) and end - at < 120:
            return at
        named = text[at:end].rpartition("@")[2]
        host = named.partition(":")[0].strip("._-~").removeprefix("www.")
        if any(character.isalnum() for character in host):
            self._out.write(host)
        self._part = Skipping._path
        goes_on = text[end : end + 1] in {"/", "?", "#"}
        return end if goes_on else end - len(named) + len(named.rstrip(".:"))

    def _path(self, text: str, at: int) -> int:
        """Skip the rest of an address; the marks at its end belong to the sentence."""
        found = marks.PATH.match(text, at)
        end = found.end() if found else at
        tail = text[max(at, end - 8) : end]
        last = end - len(tail) + len(tail.rstrip(".,;:!?"))
        if not self._grows(text, end):
            self._resume()
            return last + 1 if last == end and text.startswith(">", end) else last
        return last
