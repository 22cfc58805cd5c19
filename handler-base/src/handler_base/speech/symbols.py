"""Words with a symbol in them, in English: ``AT&T``, ``km/h``, ``snake_case``, ``a@b.org``, ``x^2``, ``->``."""

from __future__ import annotations

import re
from typing import Final

from handler_base.speech.units import unit_alone

__all__ = ["say_symbols"]

_ALONE: Final = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "==": "equals",
    "===": "equals",
    ":=": "is set to",
    "!=": "not equal to",
    "\u2260": "not equal to",
    "<": "less than",
    ">": "greater than",
    "<=": "less than or equal to",
    "\u2264": "less than or equal to",
    ">=": "greater than or equal to",
    "\u2265": "greater than or equal to",
    "->": "to",
    "=>": "to",
    "-->": "to",
    "\u2192": "to",
    "\u21d2": "to",
    "\u2190": "from",
    "<-": "from",
    "*": "times",
    "\u00d7": "times",
    "\u00f7": "divided by",
    "/": "or",
    "\u2212": "minus",
    "\u00b1": "plus or minus",
    "~": "about",
    "\u2248": "about",
    "@": "at",
    "#": "number",
    "%": "percent",
    "\u2030": "per mille",
    "\u00b0": "degrees",
    "\u00a7": "section",
    "$": "dollars",
    "\u20ac": "euros",
    "\u00a3": "pounds",
    "\u00a5": "yen",
    "\u20b9": "rupees",
    "\\": "backslash",
    "_": "underscore",
    "^": "to the power of",
    "|": "or",
    "**": "to the power of",
    "\u00bd": "one half",
    "\u00bc": "one quarter",
    "\u00be": "three quarters",
    "\u00b2": "squared",
    "\u00b3": "cubed",
    "++": "plus plus",
    "+=": "plus equals",
    "--": "dash dash",
}
_WHOLE: Final = {
    "C#": "C sharp",
    "F#": "F sharp",
    "w/": "with",
    "w/o": "without",
    "n/a": "not applicable",
    "N/A": "not applicable",
    "and/or": "and or",
}
_SILENT: Final = frozenset("/_\\~^*|")
_RUNS: Final = re.compile(
    r"[^\W_]+(?:[-'\u2019][^\W_]+)*|->|=>|[<>!:=]?=|[^\w\s]|_+|\s+",
)
_OPTION: Final = re.compile(r"(--?)([A-Za-z][\w-]*)(=?)")


def say_symbols(word: str, before: str = "", after: str = "") -> str:
    """Return how a word without digits is said.

    Args:
        word: The word, without the marks around it.
        before: The word before it.
        after: The word after it, where that matters.
    """
    if word in {"-", "\u2013"}:
        between = before[-1:].isdigit() and after[:1].isdigit()
        return ("minus" if word == "-" else "to") if between else word
    said = _WHOLE.get(word) or _ALONE.get(word) or unit_alone(word)
    if said:
        return said
    if not any(character.isalnum() for character in word):
        return _marks(word)
    option = _OPTION.fullmatch(word)
    if option:
        return f"{'dash ' * len(option[1])}{option[2].replace('_', ' ')}"
    return " ".join(part for part in _within(word) if part) or word


def _marks(word: str) -> str:
    said = [_ALONE[mark] for mark in word if mark in _ALONE]
    return " ".join(said) if 0 < len(said) <= 3 else word


def _within(word: str) -> list[str]:
    """Return what is said of each part of a word; a path begins with its slash, other slashes only part words."""
    said = ["slash"] if word.startswith("/") else []
    runs = _RUNS.findall(word)
    for index, run in enumerate(runs):
        if run[0].isalnum():
            said.append(run)
        elif run == ".":
            said.append("dot")
        elif run[0] not in _SILENT:
            said.append("hashtag" if run == "#" and index == 0 else _ALONE.get(run, ""))
    return said
