"""Whether a full stop ends a sentence."""

from __future__ import annotations

import re
from typing import Final

from handler_base.speech.words import BEFORE_A_NUMBER, ENDS_WITH_ITS_MARK, NEVER_LAST, STARTERS

__all__ = ["MORE", "ends_sentence"]

MORE: Final = -1
"""The answer depends on what is to come."""

_FULL_WIDTH: Final = frozenset("\u3002\uff01\uff1f")
_WHITE: Final = re.compile(r"\s{0,64}")
_WORD: Final = re.compile(r"[^\W\d_]{0,12}")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_OPENING: Final = "\"'([{\u201c\u2018\u201e\u00ab"
_LONGEST_WORD: Final = 24
_SHORT: Final = 4


def ends_sentence(text: str, floor: int, index: int, marks: tuple[int, int], *, final: bool) -> int:
    """Tell whether a sentence ends with marks like ``.``, ``?!`` or ``...``.

    Args:
        text: The text as far as it is known.
        floor: Where the look back ends: the beginning of the piece.
        index: Where the marks are.
        marks: Where they end, and where the quotes and parentheses that close behind them end.
        final: Whether the text is complete.

    Returns:
        1, 0, or `MORE`.
    """
    stop, end = marks
    if text[stop - 1] in _FULL_WIDTH:
        return 1
    if end >= len(text):
        return 1 if final else MORE
    if not text[end].isspace():
        return 0
    if stop - index == 1 and text[index] == ".":
        word = _word_before(text, floor, index)
        if word is None:
            return 1
        known = _by_word(text, floor, index, word)
        return known if known is not None else _by_what_follows(text, end, word, final=final)
    asks = stop == end and any(mark in "!?" for mark in text[index:stop])
    return 1 if asks else _by_what_follows(text, end, "etc", final=final)


def _word_before(text: str, floor: int, index: int) -> str | None:
    """Return the word that the mark stands behind; nothing when it is too long to be an abbreviation."""
    before = text[max(floor, index - _LONGEST_WORD) : index]
    words = before.split()
    if not words or before[-1].isspace():
        return ""
    return None if len(words[-1]) >= _LONGEST_WORD else words[-1].lstrip(_OPENING)


def _by_word(text: str, floor: int, index: int, word: str) -> int | None:
    """Return what the word alone tells."""
    if word.isdigit():
        start = index - len(word)
        return int(not (len(word) <= 3 and (start == floor or text[start - 1] == "\n")))
    if word in NEVER_LAST or word[:1].lower() + word[1:] in NEVER_LAST:
        return 0
    known = len(word) <= _SHORT or word in ENDS_WITH_ITS_MARK or word in BEFORE_A_NUMBER
    return None if known or _INITIALS.fullmatch(word) else 1


def _by_what_follows(text: str, end: int, word: str, *, final: bool) -> int:
    white = _WHITE.match(text, end)
    start = white.end() if white else end
    if start >= len(text):
        return 1 if final or start - end >= 64 else MORE
    following = text[start]
    if word in BEFORE_A_NUMBER:
        return int(not following.isdigit())
    if not (len(word) == 1 and word != "m") and not _INITIALS.fullmatch(word) and word not in _NAMED:
        return int(not following.islower())
    found = _WORD.match(text, start)
    stop = found.end() if found else start
    if stop >= len(text) and not final and stop - start < 12:
        return MORE
    return int(text[start:stop] in STARTERS)


_NAMED: Final = ENDS_WITH_ITS_MARK - {"etc", "al", "max", "usw", "ff", "dept", "govt"}
