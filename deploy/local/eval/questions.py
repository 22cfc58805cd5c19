"""The question set, and which chunks of a collection answer each question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from handler_base.rag import Chunk, Hit
from pipeline_bridge.steps.questions import Question, parse_questions

__all__ = ["load_questions", "place", "places", "relevant_chunks"]


def load_questions(path: Path) -> list[Question]:
    """Read a file with one question a line."""
    return parse_questions(path.read_text(encoding="utf-8"))


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


def places(_: Question, hits: Sequence[Hit]) -> list[str]:
    """Return what identifies each of the passages that a search found."""
    return [place(hit) for hit in hits]


def _of(document: str, chunks: Iterable[Chunk]) -> Iterable[Chunk]:
    return (chunk for chunk in chunks if chunk.source_url == document)


def _plain(text: str) -> str:
    return " ".join(text.split())
