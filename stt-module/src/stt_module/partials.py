"""What is understood while somebody still speaks.

Each hypothesis of the recogniser is a new reading of the whole utterance so far, and its end is often wrong. A word is
confirmed once two readings in a row have it at the same place with another word behind it; it never changes afterwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Final

__all__ = ["Partial", "PartialSchedule", "Partials"]

# Scripts without spaces between words: every character is a word of its own.
_UNSPACED: Final = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"\s*(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)")
_NO_LETTER: Final = re.compile(r"[\W_]+")
_SHIFTS: Final = (0, -1, 1, -2, 2)


@dataclass(frozen=True, slots=True)
class Partial:
    """What an utterance says so far."""

    confirmed: str
    """Every later one begins with this."""
    tentative: str
    """What may still become something else; with the space before it, where there is one."""

    @property
    def text(self) -> str:
        """All of it."""
        return (self.confirmed + self.tentative).strip()


def _words(text: str) -> list[str]:
    """The words of a text, each with at most one space before it."""
    found = [" " + word.lstrip() if word[0].isspace() else word for word in _WORD.findall(text.strip())]
    return [word for word in found if _NO_LETTER.sub("", word)]


def _same(first: str, second: str) -> bool:
    """Whether two words are one, whatever their case and punctuation."""
    return _NO_LETTER.sub("", first).casefold() == _NO_LETTER.sub("", second).casefold()


class Partials:
    """Follows the hypotheses of one utterance."""

    __slots__ = ("_confirmed", "_last", "_tail")

    def __init__(self) -> None:
        self._confirmed: list[str] = []
        self._tail: list[str] = []
        self._last = Partial("", "")

    @property
    def last(self) -> Partial:
        """What was given last."""
        return self._last

    def hear(self, hypothesis: str) -> Partial | None:
        """Take a new reading of the utterance.

        Returns:
            What it says so far; None when that is what it said before.
        """
        tail = self._behind(_words(hypothesis))
        # The last word of a reading may be half a word.
        pairs = zip(tail[:-1], self._tail, strict=False)
        agreed = [new for new, _ in takewhile(lambda pair: _same(*pair), pairs)]
        self._confirmed += agreed
        self._tail = tail[len(agreed) :]
        now = Partial("".join(self._confirmed).strip(), "".join(self._tail))
        if not self._confirmed:
            now = Partial("", now.tentative.strip())
        if now == self._last:
            return None
        self._last = now
        return now

    def _behind(self, words: list[str]) -> list[str]:
        """What a reading has behind the confirmed words, which it may count otherwise than those before it."""
        end = len(self._confirmed)
        if not end:
            return words
        for shift in _SHIFTS:
            if 0 < end + shift <= len(words) and _same(words[end + shift - 1], self._confirmed[-1]):
                return words[end + shift :]
        return words[end:]


class PartialSchedule:
    """When to ask for the next hypothesis: one question at a time, and fewer the longer the utterance.

    Each question costs the recogniser the whole utterance anew; by asking when it has grown by a share of itself the
    work stays in proportion to its length.

    Args:
        interval: Least new audio between two questions.
        share: The same as a share of the audio so far.
    """

    __slots__ = ("_asked_at", "_in_flight", "_interval", "_share")

    def __init__(self, interval: timedelta = timedelta(milliseconds=500), share: float = 0.2) -> None:
        self._interval = interval // timedelta(milliseconds=1)
        self._share = share
        self._asked_at = 0
        self._in_flight = False

    def due(self, audio_ms: int) -> bool:
        """Whether to ask now, with this much audio; who is told so asks."""
        if self._in_flight or audio_ms - self._asked_at < max(self._interval, self._share * self._asked_at):
            return False
        self._asked_at, self._in_flight = audio_ms, True
        return True

    def answered(self) -> None:
        """The question has its answer, or failed."""
        self._in_flight = False
