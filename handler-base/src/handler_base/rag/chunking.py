"""Cutting a text into passages along its structure: headings first, then paragraphs, then sentences, then words.

Every passage is one stretch of the text. Neighbours within a section overlap by whole sentences, so that what is
said across a cut can still be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.rag.tokens import TokenCounter, estimate_tokens, truncate_tokens

__all__ = ["Chunker", "Passage"]

_HEADING: Final = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE: Final = re.compile(r"[ \t]{0,3}(```+|~~~+)")
_OWN_LINE: Final = re.compile(r"[ \t]*(?:[-*+\u2022][ \t]|\d{1,3}[.)][ \t]|\||>)")
_SENTENCE_END: Final = re.compile(r"(?:[.!?\u2026]+[\"'\u2019\u201d)\]]*\s+|[\u3002\uff01\uff1f]\s*)")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|ca|approx|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Fig|Vol|Jr|Sr|Inc|Ltd|Co|z\.B|bzw|usw|S)"
    r"|\b[A-Z])\.\s+$"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """One stretch of a text.

    Attributes:
        text: The stretch, without the white space around it.
        start: Where it begins in the text.
        end: Where it ends.
        headings: The headings above it, outermost first.
    """

    text: str
    start: int
    end: int
    headings: tuple[str, ...]

    @property
    def with_headings(self) -> str:
        """The text under a line with its headings, unless it begins with a heading itself."""
        if not self.headings or _HEADING.match(self.text.split("\n", 1)[0]):
            return self.text
        return f"{' > '.join(self.headings)}\n\n{self.text}"


@dataclass(frozen=True, slots=True)
class _Unit:
    """A piece that is never cut: a heading, a sentence, a line of code, or part of an overlong one."""

    start: int
    end: int
    level: int = 0
    title: str = ""
    ends_paragraph: bool = False


class Chunker:
    """Cuts texts into passages.

    Args:
        max_tokens: Most tokens of a passage.
        overlap_tokens: Most tokens that a passage repeats of the one before.
        count: How tokens are counted; must not fall when a text grows.

    Raises:
        InvalidRequestError: The overlap is not smaller than half of a passage, or a passage holds under 16 tokens.
    """

    def __init__(
        self, *, max_tokens: int = 256, overlap_tokens: int = 40, count: TokenCounter = estimate_tokens
    ) -> None:
        if max_tokens < 16 or not 0 <= overlap_tokens < max_tokens / 2:
            raise InvalidRequestError("A passage needs 16 tokens or more and an overlap below half of that.")
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._count = count

    def split(self, text: str) -> list[Passage]:
        """Return the passages of a text in their order; together they hold all that is not white space."""
        units = [part for unit in _units(text) for part in self._fitting(text, unit)]
        passages: list[Passage] = []
        path: list[tuple[int, str]] = []
        seen = 0
        first = 0
        while first < len(units):
            last = self._last(text, units, first)
            for unit in units[seen : first + 1]:
                _descend(path, unit)
            seen = max(seen, first + 1)
            passages.append(_passage(text, units[first].start, units[last].end, path))
            first = self._next(text, units, first, last)
        return [passage for passage in passages if passage.text]

    def _last(self, text: str, units: Sequence[_Unit], first: int) -> int:
        """Return the last unit of the passage that begins with `first`."""
        start = units[first].start
        last = first
        break_at = -1
        while last + 1 < len(units):
            following = units[last + 1]
            if following.level and any(not unit.level for unit in units[first : last + 1]):
                return last
            if not self._fits(text[start : following.end]):
                break
            if units[last].ends_paragraph and not units[last].level:
                break_at = last
            last += 1
        else:
            return last
        whole = break_at if break_at >= 0 and 2 * self._count(text[start : units[break_at].end]) >= self._max else last
        # A heading at the end of a passage belongs to what follows.
        while whole > first and units[whole].level:
            whole -= 1
        return whole

    def _next(self, text: str, units: Sequence[_Unit], first: int, last: int) -> int:
        """Return where the next passage begins: some sentences back, but past this passage's beginning."""
        following = last + 1
        if following >= len(units) or units[following].level:
            return following
        begin = following
        while begin - 1 > first and not units[begin - 1].level:
            shared = text[units[begin - 1].start : units[last].end].strip()
            with_next = text[units[begin - 1].start : units[following].end]
            if self._count(shared) > self._overlap or not self._fits(with_next):
                break
            begin -= 1
        return begin

    def _fits(self, text: str) -> bool:
        return self._count(text.strip()) <= self._max

    def _fitting(self, text: str, unit: _Unit) -> Iterator[_Unit]:
        """Cut a unit that is longer than a passage, between words."""
        start = unit.start
        while not self._fits(text[start : unit.end]):
            rest = text[start : unit.end]
            blank = len(rest) - len(rest.lstrip())
            cut = start + blank + max(1, len(truncate_tokens(rest.lstrip(), self._max, self._count)))
            yield _Unit(start, cut)
            start = cut
        if start == unit.start:
            yield unit
        elif start < unit.end:
            yield _Unit(start, unit.end, ends_paragraph=unit.ends_paragraph)


def _passage(text: str, start: int, end: int, path: Sequence[tuple[int, str]]) -> Passage:
    stretch = text[start:end]
    body = stretch.strip()
    begin = start + len(stretch) - len(stretch.lstrip())
    return Passage(body, begin, begin + len(body), tuple(title for _, title in path if title))


def _descend(path: list[tuple[int, str]], unit: _Unit) -> None:
    """Follow a heading: it ends the sections of its own level and of those below."""
    if unit.level:
        while path and path[-1][0] >= unit.level:
            path.pop()
        path.append((unit.level, unit.title))


def _units(text: str) -> Iterator[_Unit]:
    """Yield the units of a text; each reaches to the beginning of the next."""
    paragraph: list[tuple[int, int]] = []
    fence = ""
    position = 0
    for line in text.splitlines(keepends=True):
        start, position = position, position + len(line)
        mark = _FENCE.match(line)
        heading = None if fence else _HEADING.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if heading:
            yield from _sentences(text, paragraph)
            paragraph = []
            yield _Unit(start, position, level=len(heading[1]), title=heading[2], ends_paragraph=True)
        elif not line.strip() and not fence:
            yield from _sentences(text, [*paragraph, (start, position)] if paragraph else [])
            paragraph = []
        elif fence or mark or _OWN_LINE.match(line):
            yield from _sentences(text, paragraph)
            paragraph = []
            yield _Unit(start, position)
        else:
            paragraph.append((start, position))
    yield from _sentences(text, paragraph)


def _sentences(text: str, lines: Sequence[tuple[int, int]]) -> Iterator[_Unit]:
    if not lines:
        return
    start, end = lines[0][0], lines[-1][1]
    for match in _SENTENCE_END.finditer(text, start, end):
        cut = match.end()
        goes_on = text[cut : cut + 1].islower() or _ABBREVIATION.search(text, max(start, match.start() - 12), cut)
        if cut < end and not goes_on:
            yield _Unit(start, cut)
            start = cut
    yield _Unit(start, end, ends_paragraph=True)
