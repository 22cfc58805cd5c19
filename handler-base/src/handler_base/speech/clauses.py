"""Cutting a text into pieces to be spoken, while it is written: sentences, and a first clause to begin early with.

The scan goes from mark to mark. Each mark is judged once, when enough of what follows it is known, so the pieces are
the same however the text was cut on its way here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.speech.sentence_ends import MORE, ends_sentence

__all__ = ["ClauseSplitter", "split_sentences"]

_ENDS: Final = ".!?\u2026\u3002\uff01\uff1f"
_GROUPING: Final = '()\\[\\]"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f'
# A stop matters at the end of a word, a clause's mark before white space, a dash also behind it.
_STOP_COUNTS: Final = r"(?:(?<!\.)|(?=[\s.!?\u2026\"'\u2019\u201d\u00bb)\]*_\u300d\u300f]|\Z))"
_CLAUSE_COUNTS: Final = r"(?:(?<![,;:\u2013-])|(?=\s|\Z))(?:(?<![\u2013-])|(?<=\s.))"
_MARK: Final = re.compile(f"[{_ENDS}\n{_GROUPING}]{_STOP_COUNTS}")
_FIRST_MARK: Final = re.compile(
    f"[{_ENDS}\n{_GROUPING},;:\u2014\u2013\u3001\uff0c\uff1b\uff1a-]{_STOP_COUNTS}{_CLAUSE_COUNTS}"
)
_CLAUSE_END: Final = re.compile(r"[,;:](?=\s)|[\u3001\uff0c\uff1b\uff1a\u2014]|(?<=\s)[\u2013-](?=\s)")
_RUN: Final = re.compile(f"[{_ENDS}]+")
_CLOSERS: Final = re.compile(r"[\"'\u2019\u201d\u00bb)\]\u300d\u300f*_]{0,8}")
_JOINERS: Final = "\u200d\ufe0e\ufe0f"
_ALL_WHITE: Final = re.compile(r"\s*")
_WHITE: Final = re.compile(r"\s{0,64}")
_OPENING: Final = "([\u201c\u201e\u00ab\u300c\u300e"
_CLOSING: Final = ")]\u201d\u00bb\u300d\u300f"
_CLAUSE_ENDS: Final = ",;:"
_FULL_CLAUSE_ENDS: Final = "\u3001\uff0c\uff1b\uff1a\u2014"
_LONG_SHORTENED: Final = frozenset(("approx", "Approx"))
_LONGEST_GROUP: Final = 160
_WRAPPED: Final = 50


class ClauseSplitter:
    """Cuts text into pieces as it comes; the pieces hold all of it but the white space between them.

    A piece ends with a sentence, and the first may end with a clause. None ends within an abbreviation, a number, an
    address or an ellipsis, nor within quotes or parentheses unless they are long.

    Args:
        first_min_chars: Characters from which the first piece may end with a clause; 0: it ends as the others do.
        min_chars: Characters from which a piece may end with its sentence; shorter sentences stay together.
        max_chars: Most characters of a piece; a longer sentence is cut at a clause, or else between words.

    Raises:
        InvalidRequestError: The lengths do not go together.
    """

    def __init__(self, first_min_chars: int = 20, min_chars: int = 40, max_chars: int = 240) -> None:
        if not 1 <= min_chars <= max_chars or not 0 <= first_min_chars <= max_chars:
            raise InvalidRequestError("A piece of speech needs a shortest length of 1 or more, up to its longest.")
        self._first = first_min_chars
        self._min = min_chars
        self._max = max_chars
        self._text = ""
        self._final = False
        self._start = 0  # of the piece
        self._scanned = 0
        self._line = 0  # where the line begins that is scanned
        self._line_before = 0  # where the one began that the piece begins in
        self._open = 0  # quotes and parentheses around the place, of those that opened in the piece
        self._opened = 0  # where the outermost of them is
        self._quoted = False
        self._sentence = 0  # the last end of a sentence in the piece, of those that did not end it

    def feed(self, text: str) -> list[str]:
        """Take the next characters; return the pieces that they complete."""
        self._text += text
        return self._pieces()

    def close(self) -> list[str]:
        """Return what is left; the text is complete."""
        self._final = True
        pieces = self._pieces()
        rest = self._text.strip()
        self._text = ""
        return [*pieces, rest] if rest else pieces

    def _pieces(self) -> list[str]:
        pieces = []
        while cut := self._cut():
            piece = self._text[self._start : cut].strip()
            if piece:
                pieces.append(piece)
                self._first = 0
            self._begin(cut)
        self._forget()
        return pieces

    def _begin(self, start: int) -> None:
        """Begin a piece, with no quote open."""
        if self._line > start:
            line = self._text.rfind("\n", self._start, start)
            self._line = line + 1 if line >= 0 else self._line_before
        self._line_before = self._line
        self._start = self._scanned = start
        self._sentence = self._open = 0
        self._quoted = False

    def _forget(self) -> None:
        """Let go of the text before the piece."""
        gone = self._start
        if gone:
            self._text = self._text[gone:]
            self._start = 0
            self._scanned -= gone
            self._line -= gone
            self._line_before -= gone
            self._opened -= gone
            self._sentence -= gone

    def _cut(self) -> int:
        """Return where the piece ends; 0 while that is not known."""
        text = self._text
        if self._scanned == self._start and text[self._start : self._start + 1].isspace():
            self._skip_white(text)
        limit = self._start + self._max
        search = (_FIRST_MARK if self._first else _MARK).search
        while found := search(text, self._scanned, limit):
            mark = found[0]
            end = (self._sentence_end if mark in _ENDS else self._inner_mark)(text, mark, found.start(), limit)
            if end:
                return max(end, 0)
        self._scanned = min(len(text), limit)
        return self._forced(text, limit) if len(text) > limit else 0

    def _skip_white(self, text: str) -> None:
        white = _ALL_WHITE.match(text, self._start)
        end = white.end() if white else self._start
        line = text.rfind("\n", self._start, end)
        if line >= 0:
            self._line = self._line_before = line + 1
        self._start = self._scanned = end

    def _grows(self, text: str, end: int) -> bool:
        return end >= len(text) and not self._final

    def _sentence_end(self, text: str, mark: str, index: int, limit: int) -> int:
        """Judge marks that may end a sentence; return the end of the piece, 0 to go on, `MORE` to wait."""
        end = stop = index + 1
        if (
            mark == "."
            and text[stop : stop + 1] == " "
            and index - self._start > 5
            and _is_word(text[index - 5 : index])
        ):
            verdict = int(text[index - 6 : index] not in _LONG_SHORTENED)
        else:
            run = _RUN.match(text, index, limit)
            stop = run.end() if run else stop
            closers = _CLOSERS.match(text, stop)
            end = closers.end() if closers else stop
            if self._grows(text, end) and end - stop < 8:
                return MORE
            verdict = ends_sentence(text, self._start, index, (stop, end), final=self._final)
        if verdict == MORE:
            return MORE
        for closer in text[stop:end]:
            self._group(text, closer, end - 1)
        self._scanned = end
        if not verdict or end > limit:
            return 0
        if end - self._start >= (self._first or self._min) and not self._inside(end):
            return end
        self._sentence = end
        return 0

    def _inner_mark(self, text: str, mark: str, index: int, _limit: int) -> int:
        """Judge a mark that ends no sentence by itself; return the end of the piece, 0 to go on, `MORE` to wait."""
        if mark == "\n":
            return self._line_end(text, index)
        end = index + 1
        if mark in _OPENING or mark in _CLOSING or mark == '"':
            self._group(text, mark, index)
            self._scanned = end
            return 0
        if mark not in _FULL_CLAUSE_ENDS:
            if self._grows(text, end):
                return MORE
            apart = mark in _CLAUSE_ENDS or (index > self._start and text[index - 1].isspace())
            if not (apart and text[end : end + 1].isspace()):
                self._scanned = end
                return 0
        self._scanned = end
        return end if end - self._start >= self._first and not self._inside(end) else 0

    def _line_end(self, text: str, index: int) -> int:
        """A line is a sentence, unless it is full and the next goes on in lower case."""
        if index - self._line >= _WRAPPED:
            white = _WHITE.match(text, index)
            following = white.end() if white else index
            if self._grows(text, following) and following - index < 64:
                return MORE
            if text[following : following + 1].islower():
                self._scanned = self._line = index + 1
                return 0
        self._scanned = self._line = index + 1
        self._open = 0
        self._quoted = False
        if index - self._start >= (self._first or self._min):
            return index + 1
        self._sentence = index
        return 0

    def _group(self, text: str, mark: str, index: int) -> None:
        """Take a quote or a parenthesis that opens or closes."""
        opens = mark in _OPENING
        if mark == '"':
            opens = not self._quoted and (
                index == self._start or text[index - 1].isspace() or text[index - 1] in _OPENING
            )
            closes = self._quoted
            self._quoted = opens
        else:
            closes = mark in _CLOSING
        if opens:
            if not self._open:
                self._opened = index
            self._open += 1
        elif closes and self._open:
            self._open -= 1

    def _inside(self, index: int) -> bool:
        """Tell whether a place is in quotes or parentheses; what is open for long was never meant to close."""
        if self._open and index - self._opened > _LONGEST_GROUP:
            self._open = 0
            self._quoted = False
        return self._open > 0

    def _forced(self, text: str, limit: int) -> int:
        """Return the best place to cut a piece that is too long."""
        if self._sentence - self._start > self._max // 3:
            return self._sentence
        clauses = [found.end() for found in _CLAUSE_END.finditer(text, self._start + self._max // 2, limit + 1)]
        if clauses and clauses[-1] > limit:
            clauses.pop()
        if clauses:
            return clauses[-1]
        blank = max(text.rfind(white, self._start, limit + 1) for white in " \n\t")
        if blank > self._start:
            return blank
        cut = limit
        while cut > max(self._start + 1, limit - 8) and (unicodedata.combining(text[cut]) or text[cut] in _JOINERS):
            cut -= 1
        return cut


def _is_word(letters: str) -> bool:
    return letters.isalpha() and letters.islower()


def split_sentences(text: str, max_chars: int, min_chars: int = 1) -> list[str]:
    """Return the sentences of a whole text.

    Args:
        text: The text.
        max_chars: Most characters of a piece; a longer sentence is cut.
        min_chars: Characters below which a sentence stays together with the next.
    """
    splitter = ClauseSplitter(0, min_chars, max_chars)
    return [*splitter.feed(text), *splitter.close()]
