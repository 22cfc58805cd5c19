"""Words, sentences and how rare a word is: the lexical half of the reranker and of the extractive model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from deploy.local.inference.encoder import SentenceEncoder

__all__ = ["Lexicon", "phrase_length", "split_sentences", "terms"]

_WORD: Final = re.compile(r"[^\W_]+(?:[-./:'][^\W_]+)*")
_STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be been before but by can could did do does for from had has "
        "have he her him his how i if in into is it its just many may me more most much must my no not of off on one "
        "or our out over she should so some such than that the their them then there these they this those to under "
        "up us was we were what when where which who whom whose why will with would you your tell please know give "
        "say says said long often because only during present what's",
    )
)
_SUFFIXES: Final = ("'s", "ies", "ing", "es", "ed", "ly", "s")
_ENDINGS: Final = ("", "e", "s", "ed", "ing", "es", "ly")
"""What a stem may have lost; one of its forms tells how frequent it is."""
_ABBREVIATIONS: Final = re.compile(
    r"(?:\b(?:[A-Z]|[Dd]r|[Mm]rs?|[Mm]s|[Ss]t|[Nn]o|[Nn]os|[Ff]ig|[Pp]p?|approx|c|ca|cf|etc|vs|e\.g|i\.e))\.$"
)
_LONGEST_ABBREVIATION: Final = 10
_LONGEST_SENTENCE: Final = 2000
_SENTENCE_END: Final = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[]?[A-Z0-9])")
_LIST_MARK: Final = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)]|#{1,6})\s+")
_QUOTES: Final = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_RULE: Final = re.compile(r"^[\s|:=-]+$")


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            stem = word[: -len(suffix)]
            if suffix == "ies":
                return f"{stem}y"
            if suffix in {"ing", "ed"} and len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeious":
                stem = stem[:-1]
            return stem.rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


def terms(text: str) -> list[str]:
    """Return the words of a text that carry meaning: lower case, stemmed; identifiers whole and in their parts."""
    found: list[str] = []
    for word in _WORD.findall(text.translate(_QUOTES).lower()):
        if word in _STOP_WORDS:
            continue
        found.append(_stem(word))
        parts = re.split(r"[-./:]", word)
        if len(parts) > 1:
            found.extend(_stem(part) for part in parts if part and part not in _STOP_WORDS)
    return found


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text; list items and table rows count as sentences of their own."""
    text = text.translate(_QUOTES)
    sentences: list[str] = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+•|]|\d{1,2}[.)]|#{1,6}\s))", text):
        lines = [line for line in block.splitlines() if line.strip() and not _RULE.match(line)]
        flat = " ".join(_LIST_MARK.sub("", line).strip() for line in lines)
        sentences.extend(_split_line(flat))
    return sentences


def _split_line(line: str) -> list[str]:
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(line):
        if (
            pieces
            and len(pieces[-1]) < _LONGEST_SENTENCE
            and _ABBREVIATIONS.search(pieces[-1][-_LONGEST_ABBREVIATION:])
        ):
            pieces[-1] = f"{pieces[-1]} {piece}"
        elif piece:
            pieces.append(piece)
    return pieces


def phrase_length(needle: Sequence[str], haystack: Sequence[str]) -> int:
    """Return the length of the longest run of words of `needle` that `haystack` holds in the same order."""
    best = 0
    previous = [0] * (len(haystack) + 1)
    for word in needle:
        row = [0] * (len(haystack) + 1)
        for column, other in enumerate(haystack):
            if word == other:
                row[column + 1] = previous[column] + 1
        best = max(best, *row)
        previous = row
    return best


class Lexicon:
    """How much a word tells, without statistics of any corpus.

    The model's vocabulary is ordered by how frequent words are, so the place of a word tells how rare it is; a word
    that is not in it, such as a part number, is rarer still.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._pieces = lru_cache(maxsize=65_536)(encoder.pieces)

    def rarity(self, term: str) -> float:
        """Return the weight of a term, 0.2 for the most frequent to 1.5 for identifiers."""
        if any(character.isdigit() for character in term):
            return 1.5
        whole = [pieces[0] for ending in _ENDINGS if len(pieces := self._pieces(term + ending)) == 1]
        if not whole:
            return 1.2
        place = max(min(whole), 1000)
        return 0.2 + 0.8 * math.log(place / 1000) / math.log(30.5)

    def coverage(self, question: Sequence[str], found: Iterable[str]) -> float:
        """Return how much of the question's weight the terms `found` cover, 0 to 1."""
        wanted = {term: self.rarity(term) for term in question}
        total = sum(wanted.values())
        present = set(found)
        return sum(weight for term, weight in wanted.items() if term in present) / total if total else 0.0
