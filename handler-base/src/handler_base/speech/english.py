"""Plain text in English words, as it comes: nothing is left that a voice would spell, stumble over or leave out.

A word is what white space ends. Only words with a mark in them are looked at, with the words around them that tell how
they are read; the text between passes as it is.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from handler_base.speech.quantities import Surroundings, say_digits
from handler_base.speech.symbols import say_symbols
from handler_base.speech.words import ABBREVIATIONS, BEFORE_A_NUMBER, ENDS_WITH_ITS_MARK, SHORTENED, STARTERS

__all__ = ["MOST_HELD", "EnglishWords"]

_LONGEST_WORD: Final = 80
_LONGEST_FOLLOWING: Final = 16
_MOST_FOLLOWING: Final = 5
_CONTEXT: Final = 24
MOST_HELD: Final = _LONGEST_WORD + _MOST_FOLLOWING * (_LONGEST_FOLLOWING + 2)
"""Characters that are held back at most: a word, and the ones behind it that may belong to it."""

_MARKED: Final = re.compile(
    r"[0-9$\u20ac\u00a3\u00a5\u20b9%\u2030\u00b0\u2103\u2109&+=<>@#/\\_^*~|\u00b2\u00b3\u00bd\u00bc\u00be\u00d7\u00f7"
    r"\u00b1\u2248\u2260\u2264\u2265\u2192\u2190\u21d2\u2212\u00a7\u2013.-]"
)
_WORD: Final = re.compile(rf"[^ \n]{{1,{_LONGEST_WORD}}}")
_FOLLOWING: Final = re.compile(rf"[^ \n]{{0,{_LONGEST_FOLLOWING + 1}}}")
_DIGIT: Final = re.compile("[0-9]")
_GROUP: Final = re.compile(r"\(?[0-9]{2,5}\)?(?:-[0-9]{2,5})*")
_INITIALS: Final = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_AREA_CODE: Final = re.compile(r"\([0-9]{3}\)")
_OPENING: Final = "\"'([{\u201c\u2018\u201e\u00ab\u2014\u2013"
_CLOSING: Final = ".,;:!?)]}\"'\u201d\u2019\u00bb\u2026\u2014\u2013"


class _Word(NamedTuple):
    """A word in its text.

    Attributes:
        opening: Marks in front of it.
        core: What is said.
        closing: Marks behind it.
        start: Where it begins in the text.
        end: Where it ends.
        goes_on: Whether a blank follows it.
    """

    opening: str
    core: str
    closing: str
    start: int
    end: int
    goes_on: bool


class EnglishWords:
    """Says numbers, units, abbreviations and symbols of plain text in words.

    Args:
        day_first: Whether 3/4/2026 is the third of April.
    """

    def __init__(self, *, day_first: bool = False) -> None:
        self._day_first = day_first
        self._held = ""
        self._behind = ""  # the end of the text before `_held`
        self._final = False

    @property
    def held(self) -> int:
        """Characters held back now."""
        return len(self._held)

    def feed(self, piece: str) -> str:
        """Take the next piece, in which single blanks and line ends part the words; return what can be said."""
        self._held += piece
        return self._say(_end_of_words(self._held))

    def close(self) -> str:
        """Return the words held back; the text is complete."""
        self._final = True
        return self._say(len(self._held))

    def _say(self, whole: int) -> str:
        """Say the text as far as its words are complete."""
        if not whole:
            return ""
        text = self._held
        said: list[str] = []
        at = 0
        found = _MARKED.search(text, 0, whole)
        while found:
            start, end = _bounds(text, at, found.start(), whole)
            if _is_plain(text[start:end]):
                found = _MARKED.search(text, end, whole)
                continue
            spoken = self._word(text, start, end)
            if spoken is None:
                whole = start
                break
            said += text[at:start], spoken[0]
            at = spoken[1]
            found = _MARKED.search(text, at, whole)
        said.append(text[at:whole])
        self._behind = (
            text[whole - _CONTEXT : whole] if whole >= _CONTEXT else (self._behind + text[:whole])[-_CONTEXT:]
        )
        self._held = text[whole:]
        return "".join(said)

    def _word(self, text: str, start: int, end: int) -> tuple[str, int] | None:
        """Return how a word is said and where what it says ends; nothing while that depends on what is to come."""
        word = text[start:end]
        bare = word.lstrip(_OPENING) or word
        core = bare.rstrip(_CLOSING) or bare
        parts = _Word(
            word[: len(word) - len(bare)],
            core,
            bare[len(core) :],
            start,
            end,
            text[end : end + 1] == " " and end - start < _LONGEST_WORD,
        )
        if parts.closing[:1] == "." and not core.isdigit():
            spoken = self._shortened(text, parts)
            if spoken is None or spoken[0]:
                return spoken
        if parts.core.isalpha():
            return word, end
        return self._digits(text, parts) if _DIGIT.search(parts.core) else self._symbols(text, parts)

    def _digits(self, text: str, word: _Word) -> tuple[str, int] | None:
        area_code = None
        if word.opening == "(":
            area_code = _AREA_CODE.fullmatch(f"({word.core}{word.closing}")
        following: list[str] | None = []
        if word.goes_on and (area_code or not word.closing):
            following = self._following(text, word.end, groups=True)
        if following is None:
            return None
        names = [one.strip("()") if _GROUP.fullmatch(one) else one.rstrip(_CLOSING) for one in following]
        core = area_code[0] if area_code and names and _GROUP.fullmatch(names[0]) else word.core
        spoken = say_digits(core, Surroundings(self._before(text, word.start), names, self._day_first))
        if not spoken.used:
            return f"{word.opening}{spoken.words}{word.closing}", word.end
        taken = following[: spoken.used]
        opening = word.opening if core is word.core else ""
        marks = taken[-1][len(taken[-1].rstrip(_CLOSING)) :]
        end = word.end + sum(map(len, taken)) + len(taken)
        if marks[:1] == "." and names[spoken.used - 1] in SHORTENED:
            after = self._following(text, end) if marks == "." and text[end : end + 1] == " " else []
            if after is None:
                return None
            marks = marks[0 if marks == "." and (not after or after[0] in STARTERS) else 1 :]
        return f"{opening}{spoken.words}{marks}", end

    def _shortened(self, text: str, word: _Word) -> tuple[str, int] | None:
        """Return an abbreviation in full; an empty word where it is none."""
        core = word.core
        marks = word.closing[1:]
        initials = _INITIALS.fullmatch(core)
        said = ABBREVIATIONS.get(core) or ABBREVIATIONS.get(core[:1].lower() + core[1:], "")
        numbered = BEFORE_A_NUMBER.get(core)
        if not (said or numbered or initials or core == "St"):
            return "", word.end
        following = self._following(text, word.end) if word.goes_on and not marks else []
        if following is None:
            return None
        after = following[0] if following else ""
        if numbered:
            return (word.opening + numbered + marks if after[:1].isdigit() else ""), word.end
        if core == "St":
            said = "Saint" if after[:1].isupper() and after not in STARTERS else "Street"
        said = said or core.replace(".", " ").strip()
        last = (core in ENDS_WITH_ITS_MARK or initials) and marks[:1] not in {",", ";", ":", ")"}
        ends = last and (
            after in STARTERS or (not after and not word.goes_on) or (core == "etc" and after[:1].isupper())
        )
        if core[0].isupper() and said[0].islower():
            said = said[0].upper() + said[1:]
        return f"{word.opening}{said}{'.' if ends else ''}{marks}", word.end

    def _symbols(self, text: str, word: _Word) -> tuple[str, int] | None:
        core = word.core
        following: list[str] | None = []
        before = self._before(text, word.start)
        if core in {"-", "\u2013"} and word.goes_on and before[-1:].isdigit():
            following = self._following(text, word.end)
        if following is None:
            return None
        said = say_symbols(core, before, following[0] if following else "")
        return f"{word.opening}{said}{word.closing}", word.end

    def _following(self, text: str, end: int, *, groups: bool = False) -> list[str] | None:
        """Return the word behind a blank, with `groups` all words of digits in a row; nothing while they may grow."""
        words: list[str] = []
        while len(words) < _MOST_FOLLOWING and text[end : end + 1] in {" ", ""}:
            found = _FOLLOWING.match(text, end + 1)
            word = found[0] if found else ""
            if end + 1 + len(word) >= len(text) and len(word) <= _LONGEST_FOLLOWING and not self._final:
                return None
            if not word or len(word) > _LONGEST_FOLLOWING:
                break
            words.append(word)
            end += 1 + len(word)
            if not groups or not _GROUP.fullmatch(word):
                break
        return words

    def _before(self, text: str, start: int) -> str:
        """Return the word before, without the marks around it."""
        lead = text[max(0, start - _CONTEXT) : start]
        words = (lead if len(lead) == _CONTEXT else self._behind + lead).split()
        return words[-1].strip(_OPENING + _CLOSING) if words else ""


def _end_of_words(text: str) -> int:
    """Return where the last complete word of a text ends, with the blank behind it."""
    end = max(text.rfind(" "), text.rfind("\n")) + 1
    return end + (len(text) - end) // _LONGEST_WORD * _LONGEST_WORD


def _is_plain(word: str) -> bool:
    """Tell whether a word is said as it stands: letters, hyphens between them, and the end of a sentence."""
    core = word.rstrip(_CLOSING)
    if core.isalpha():
        return core not in SHORTENED
    return core[:1].isalpha() and core.replace("-", "").isalpha()


def _bounds(text: str, at: int, mark: int, whole: int) -> tuple[int, int]:
    """Return where the word with a mark in it begins and ends; a word begins at `at`."""
    start = max(text.rfind(" ", at, mark), text.rfind("\n", at, mark)) + 1 or at
    start += (mark - start) // _LONGEST_WORD * _LONGEST_WORD
    found = _WORD.match(text, start, whole)
    return start, found.end() if found else whole
