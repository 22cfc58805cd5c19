"""Questions in files, one JSON document a line: to be answered, or with what a right answer holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from handler_base.errors import InvalidRequestError

__all__ = ["KINDS", "Asked", "Gold", "Question", "parse_asked", "parse_questions"]

KINDS: Final = ("direct", "paraphrase", "identifier", "distractor", "multi", "unanswerable")
"""Direct; in other words than the text; by number or name; with near-identical rivals; several facts; no answer."""

_T = TypeVar("_T")


class Gold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the answer stands.

    Attributes:
        document: Path of the document in the corpus.
        snippet: Words of it that hold the answer; a chunk that contains them is relevant.
    """

    document: str
    snippet: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question with what answers it.

    Attributes:
        id: Identity.
        kind: What sort of question it is, such as one of `KINDS`; scores are also told by it.
        question: What is asked.
        gold: Where the answer stands; empty for a question without one.
        facts: What a right answer contains, all of it.
    """

    id: str
    kind: str
    question: str
    gold: tuple[Gold, ...]
    facts: tuple[str, ...]

    @property
    def answerable(self) -> bool:
        """Whether the documents answer it."""
        return bool(self.gold)


class Asked(msgspec.Struct, frozen=True):
    """A question to be answered.

    Attributes:
        question: What is asked.
        id: Identity in the file; its line number where it has none.
        collection: Documents to search; empty: as the run says.
    """

    question: str
    id: str = ""
    collection: str = ""


_QUESTION: Final = msgspec.json.Decoder(Question)
_ASKED: Final[msgspec.json.Decoder[Asked | str]] = msgspec.json.Decoder(Asked | str)


def parse_questions(text: str) -> list[Question]:
    """Read questions with what answers them.

    Raises:
        InvalidRequestError: A line is no such question, or there is none.
    """
    return list(_unique((question.id, question) for _, question in _lines(text, _QUESTION)))


def parse_asked(text: str) -> list[Asked]:
    """Read questions to be answered: a string a line, or an object with `question` and perhaps `id` and `collection`.

    Raises:
        InvalidRequestError: A line is no question, two have the same id, or there is none.
    """
    found = []
    for number, line in _lines(text, _ASKED):
        asked = Asked(line) if isinstance(line, str) else line
        if not asked.question.strip():
            raise InvalidRequestError(f"Line {number} has no question.")
        identity = asked.id or str(number)
        found.append((identity, Asked(asked.question, identity, asked.collection)))
    return list(_unique(iter(found)))


def _lines(text: str, decoder: msgspec.json.Decoder[_T]) -> Iterator[tuple[int, _T]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield number, decoder.decode(line.encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise InvalidRequestError(f"Line {number} is not a question in JSON.") from None


def _unique(found: Iterator[tuple[str, _T]]) -> Iterator[_T]:
    seen = set()
    for identity, one in found:
        if identity in seen:
            raise InvalidRequestError(f"Two questions have the id {identity!r}.")
        seen.add(identity)
        yield one
    if not seen:
        raise InvalidRequestError("There are no questions.")
