"""Citation markers in answers: which sources they name, and taking out those that name none.

The same scanner works on a whole answer and on a stream of pieces: however a text is cut, the result is the same.
Code between backticks is left alone, and so is a Markdown link: ``[1](...)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CitationFilter", "CitedAnswer", "citations"]

_TOKEN: Final = re.compile(
    r"(?P<ticks>`+)|(?P<paragraph>\n\n)"
    r"|(?P<space>[ \t]{0,8})\[(?P<numbers>\d{1,3}(?:\s?[,;\u2013-]\s?\d{1,3}){0,15})\](?!\()"
)
_UNFINISHED: Final = re.compile(r"(?:\n|[ \t]{0,8}\[[\d\s,;\u2013-]{0,100}\]?|[ \t]{1,8})$")
_LONGEST_MARKER: Final = 120
_PART: Final = re.compile(r"(\d+)(?:\s?[\u2013-]\s?(\d+))?")


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer whose markers all name a source.

    Attributes:
        text: The answer, without the markers that pointed nowhere.
        numbers: The sources it cites, from 1, in the order of their first mention.
    """

    text: str
    numbers: tuple[int, ...]


class CitationFilter:
    """Takes invalid markers out of a streamed answer; holds back only what may still become one.

    Args:
        source_count: Sources the prompt numbered, from 1.
    """

    def __init__(self, source_count: int) -> None:
        self._source_count = source_count
        self._held = ""
        self._fence = 0
        self._run = 0
        self._cited: dict[int, None] = {}

    @property
    def numbers(self) -> tuple[int, ...]:
        """The sources cited so far, in the order of their first mention."""
        return tuple(self._cited)

    def feed(self, piece: str) -> str:
        """Take the next piece of the answer; return what can be shown."""
        idle = not (self._held or self._fence or self._run)
        if idle and "[" not in piece and "`" not in piece and not piece[-1:].isspace():
            return piece
        text = self._held + piece
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_MARKER))
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return self._scan(text[:end])

    def close(self) -> str:
        """Return what was held back; the answer is complete."""
        text, self._held = self._held, ""
        return self._scan(text)

    def _scan(self, text: str) -> str:
        if self._run and text and text[0] != "`":
            self._end_run()
        return _TOKEN.sub(self._replace, text)

    def _end_run(self) -> None:
        """Open or close code with the backticks that came in a row, however many pieces they came in."""
        if not self._fence:
            self._fence = self._run
        elif self._fence == self._run:
            self._fence = 0
        self._run = 0

    def _replace(self, match: re.Match[str]) -> str:
        ticks = match["ticks"]
        if ticks:
            self._run += len(ticks)
            # At the end of what is known, more of them may follow: they are shown, but not counted out yet.
            if match.end() < len(match.string):
                self._end_run()
            return ticks
        if match["paragraph"]:
            # Inline code ends with its paragraph; a lone backtick must not hide the markers of the rest.
            self._fence = self._fence if self._fence >= 3 else 0
            return match[0]
        if self._fence:
            return match[0]
        valid = self._valid(match["numbers"])
        self._cited.update(dict.fromkeys(valid))
        return match["space"] + "".join(f"[{number}]" for number in valid) if valid else ""

    def _valid(self, numbers: str) -> list[int]:
        found: dict[int, None] = {}
        for first, last in _PART.findall(numbers):
            start, stop = int(first), int(last or first)
            found.update(dict.fromkeys(range(max(1, start), min(stop, self._source_count) + 1)))
        return list(found)


def citations(answer: str, source_count: int) -> CitedAnswer:
    """Return the answer without markers that name no source, and the sources it cites.

    Args:
        answer: The whole answer.
        source_count: Sources the prompt numbered, from 1.
    """
    if "[" not in answer:
        return CitedAnswer(answer, ())
    scanner = CitationFilter(source_count)
    text = scanner.feed(answer) + scanner.close()
    return CitedAnswer(text, scanner.numbers)
