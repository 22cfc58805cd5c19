"""The question set, and which chunks of a collection answer each question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from handler_base.rag import Chunk, Hit

__all__ = ["KINDS", "Gold", "Question", "load_questions", "place", "relevant_chunks"]

KINDS: Final = ("direct", "paraphrase", "identifier", "distractor", "multi", "unanswerable")
"""Direct; in other words than the text; by number or name; with near-identical rivals; several facts; no answer."""


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
        kind: One of `KINDS`.
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
        """Whether the corpus answers it."""
        return bool(self.gold)


def load_questions(path: Path) -> list[Question]:
    """Read a file with one question a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=Question) for line in lines if line.strip()]


def relevant_chunks(question: Question, chunks: Sequence[Chunk]) -> dict[str, float]:
    """Return the gain of every relevant chunk by its place: found by its text, so it holds however documents are cut.

    Raises:
        ValueError: A snippet is in no chunk of its document: the question no longer fits the corpus.
    """
    gains: dict[str, float] = {}
    for gold in question.gold:
        words = _plain(gold.snippet)
        found = {place(chunk): 1.0 for chunk in _of(gold.document, chunks) if words in _plain(chunk.text)}
        if not found:
            raise ValueError(f"{question.id}: no chunk of {gold.document} holds {gold.snippet!r}")
        gains |= found
    return gains


def place(chunk: Chunk | Hit) -> str:
    """Return what identifies a chunk within the corpus: ids also depend on the embedding model."""
    return f"{chunk.source_url}#{chunk.position}"


def _of(document: str, chunks: Iterable[Chunk]) -> Iterable[Chunk]:
    return (chunk for chunk in chunks if chunk.source_url == document)


def _plain(text: str) -> str:
    return " ".join(text.split())
