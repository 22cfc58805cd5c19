"""Asks every question in every way of searching, and the whole pipeline for its answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import fmean
from typing import Final

from handler_base.clients import EmbeddingsClient, LLMClient, RawVector, RerankerClient
from handler_base.deadline import Deadline
from handler_base.rag import Hit, Retrieval, RetrievalOptions, Retriever, VectorStore, build_prompt
from pipeline_bridge.steps.questions import Question

__all__ = ["MODES", "AnswerScores", "Pipeline", "SearchRun", "measure_answers", "measure_search"]

MODES: Final = ("dense", "BM25", "hybrid", "hybrid + rerank")
_DEPTH: Final = 10
_PATIENCE: Final = timedelta(seconds=30)
_NO_ANSWER: Final = "do not answer"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What answers questions.

    Attributes:
        store: Where the corpus is.
        collection: Name of its collection.
        embeddings: Embeds questions.
        reranker: Orders what was found.
        llm: Writes answers.
    """

    store: VectorStore
    collection: str
    embeddings: EmbeddingsClient
    reranker: RerankerClient
    llm: LLMClient

    async def search(self, question: str, mode: str) -> list[Hit]:
        """Return ten passages for a question, best first."""
        text = None if mode == "dense" else question
        vector = None if mode == "BM25" else await self._embedded(question)
        hits = await self.store.search(self.collection, vector=vector, text=text, limit=_DEPTH, deadline=_patience())
        if mode != "hybrid + rerank":
            return hits
        scores = await self.reranker.rerank(question, [hit.text for hit in hits], deadline=_patience())
        order = sorted(range(len(hits)), key=scores.__getitem__, reverse=True)
        return [hits[index] for index in order]

    async def _embedded(self, question: str) -> RawVector:
        return await self.embeddings.embed_raw(question, deadline=_patience())

    async def retrieve(self, question: str, *, rerank: bool = True) -> Retrieval:
        """Return what the service would find, with its own defaults for depth and reranking."""
        options = RetrievalOptions(timeout=_PATIENCE, rerank_timeout=_PATIENCE)
        retriever = Retriever(self.embeddings, self.store, self.reranker, options)
        return await retriever.retrieve(question, collection=self.collection, rerank=rerank, deadline=_patience())

    async def answer(self, question: str) -> str:
        """Return the answer the service would give."""
        found = await self.retrieve(question)
        prompt = build_prompt(question, hits=found.hits, grounding=found.grounding)
        completion = await self.llm.complete(prompt.messages, deadline=_patience())
        return completion.text


@dataclass(frozen=True, slots=True)
class SearchRun:
    """What one way of searching found.

    Attributes:
        found: Places of chunks by question, best first.
        milliseconds: Mean time of a search.
    """

    found: Mapping[str, Sequence[str]]
    milliseconds: float


@dataclass(slots=True)
class AnswerScores:
    """How the answers were, by kind of question.

    Attributes:
        right: Answers with every fact, or that say there is none where there is none.
        asked: Questions.
        declined: Answerable questions that were declined.
        wrong: The ids of the questions whose answer was not right.
    """

    right: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    declined: int = 0
    wrong: list[str] = field(default_factory=list)

    def count(self, question: Question, answer: str) -> None:
        """Judge one answer."""
        said_no = _NO_ANSWER in answer
        good = said_no if not question.answerable else all(fact.lower() in answer.lower() for fact in question.facts)
        self.asked[question.kind] = self.asked.get(question.kind, 0) + 1
        self.right[question.kind] = self.right.get(question.kind, 0) + good
        self.declined += question.answerable and said_no
        if not good:
            self.wrong.append(question.id)


def _nothing() -> None:
    """Tell nobody."""


async def measure_search(
    pipeline: Pipeline,
    questions: Sequence[Question],
    mode: str,
    identify: Callable[[Question, Sequence[Hit]], Sequence[str]],
    *,
    advance: Callable[[], None] = _nothing,
) -> SearchRun:
    """Search for every question that has an answer.

    Args:
        pipeline: What searches.
        questions: What is asked.
        mode: One of `MODES`.
        identify: Returns the ids, as relevance knows them, of what was found for a question.
        advance: Called after each question.
    """
    found: dict[str, Sequence[str]] = {}
    times: list[float] = []
    for question in questions:
        hits, took = await _timed(lambda question=question: pipeline.search(question.question, mode))  # type: ignore[misc]  # the default binds the loop's value
        found[question.id] = identify(question, hits)
        times.append(took)
        advance()
    return SearchRun(found, fmean(times))


async def measure_answers(
    pipeline: Pipeline, questions: Sequence[Question], *, advance: Callable[[], None] = _nothing
) -> AnswerScores:
    """Answer every question."""
    scores = AnswerScores()
    for question in questions:
        scores.count(question, await pipeline.answer(question.question))
        advance()
    return scores


async def _timed(call: Callable[[], Awaitable[list[Hit]]]) -> tuple[list[Hit], float]:
    begun = time.perf_counter()
    hits = await call()
    return hits, (time.perf_counter() - begun) * 1000


def _patience() -> Deadline:
    return Deadline.after(_PATIENCE)
