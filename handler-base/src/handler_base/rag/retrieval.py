"""Finding the passages an answer may rest on: embed, search, rerank; each step may fail without failing the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import msgspec

from handler_base.clients import RawVector
from handler_base.config import RagSettings
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError, FleetError, UpstreamError
from handler_base.rag.store import Hit, VectorStore, check_collection_name, check_limit
from handler_base.telemetry import Stages

__all__ = ["EmbeddedAhead", "Grounding", "QuestionEmbedder", "Reranker", "Retrieval", "RetrievalOptions", "Retriever"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_EMBED_SHARE: Final = 0.6
"""Share of the retrieval budget the embedding may use up, so that a search by words alone still has time."""


class QuestionEmbedder(Protocol):
    """What retrieval needs of the embeddings client."""

    async def embed_raw(self, text: str, *, deadline: Deadline) -> RawVector:
        """Return the embedding of one text, unparsed."""
        ...


class Reranker(Protocol):
    """What retrieval needs of the reranker client."""

    async def rerank(self, query: str, texts: Sequence[str], *, deadline: Deadline) -> list[float]:
        """Return a score from 0 to 1 for each text, in their order."""
        ...


class Grounding(StrEnum):
    """What the answer can rest on."""

    OFF = "off"
    """Nobody asked for documents."""
    SOURCES = "sources"
    """Passages were found."""
    NOTHING_FOUND = "nothing_found"
    """The documents were searched and hold nothing that fits."""
    UNAVAILABLE = "unavailable"
    """The documents could not be searched."""


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """How passages are found.

    Attributes:
        query_prefix: Put before the question when it is embedded.
        timeout: Most time for all of it.
        rerank_timeout: Most time for reranking, within `timeout`.
        min_rerank_score: Passages the reranker scores lower are not relevant and are left out.
    """

    query_prefix: str = ""
    timeout: timedelta = timedelta(seconds=5)
    rerank_timeout: timedelta = timedelta(seconds=2)
    min_rerank_score: float = 0.0

    @classmethod
    def from_settings(cls, settings: RagSettings) -> RetrievalOptions:
        """Read the options from the settings."""
        return cls(
            query_prefix=settings.embeddings_query_prefix,
            timeout=timedelta(seconds=settings.retrieval_timeout),
            rerank_timeout=timedelta(seconds=settings.rerank_timeout),
            min_rerank_score=settings.rerank_min_score,
        )


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found.

    Attributes:
        hits: The passages, best first.
        grounding: What an answer can rest on.
        reranked: Whether the order and the scores are the reranker's.
        notes: What did not work, as `step: error type`; safe to log and to show.
    """

    hits: tuple[Hit, ...] = ()
    grounding: Grounding = Grounding.OFF
    reranked: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def used_rag(self) -> bool:
        """Whether there are passages to rest on."""
        return self.grounding is Grounding.SOURCES


class EmbeddedAhead:
    """The embedding of a question that is most likely searched for, asked for before that is certain.

    Args:
        question: As it was asked.
        embedding: What asks for it.
    """

    def __init__(self, question: str, embedding: Coroutine[Any, Any, RawVector]) -> None:
        self.question = question
        self._task = asyncio.create_task(embedding, name="embed-ahead")

    async def vector(self) -> RawVector:
        """Return the embedding.

        Raises:
            FleetError: There is none.
        """
        return await asyncio.shield(self._task)

    def close(self) -> None:
        """It is not wanted any more."""
        if not self._task.cancel() and not self._task.cancelled():
            self._task.exception()  # nobody may have asked for it


class Retriever:
    """Finds passages for questions. Nothing it calls is remembered as broken here: the next question tries again.

    Args:
        embeddings: Embeds the question.
        store: Searches the collection.
        reranker: Orders what was found; None to go without.
        options: Prefix, budgets and the relevance bound.
    """

    def __init__(
        self,
        embeddings: QuestionEmbedder,
        store: VectorStore,
        reranker: Reranker | None,
        options: RetrievalOptions | None = None,
    ) -> None:
        self._embeddings = embeddings
        self._store = store
        self._reranker = reranker
        self._options = options or RetrievalOptions()

    def ahead(self, question: str, *, deadline: Deadline) -> EmbeddedAhead:
        """Begin to embed a question while the rest is prepared; whoever asks for this closes it."""
        return EmbeddedAhead(question, self._embed(question, deadline.sooner(self._options.timeout)))

    async def retrieve(
        self,
        question: str,
        *,
        collection: str,
        top_k: int = 5,
        rerank: bool = True,
        rerank_top_k: int = 3,
        deadline: Deadline,
        stages: Stages | None = None,
        ahead: EmbeddedAhead | None = None,
    ) -> Retrieval:
        """Find the passages for a question; a step that fails is noted, not raised.

        Args:
            question: The question as it was asked.
            collection: Name of the collection.
            top_k: Passages the search brings.
            rerank: Whether to rerank them.
            rerank_top_k: Passages that are left after reranking; all of them stay when it is skipped.
            deadline: When the whole answer is due.
            stages: Takes the times of `embed`, `search` and `rerank`.
            ahead: The embedding, where it was asked for before; passed over when it is another question's.

        Raises:
            InvalidRequestError: The collection's name or `top_k` is not valid: the caller's fault, not a failure.
        """
        check_collection_name(collection)
        check_limit(top_k)
        budget = deadline.sooner(self._options.timeout)
        notes: list[str] = []
        fits = ahead is not None and ahead.question == question
        embedding = ahead.vector() if ahead is not None and fits else self._embed(question, budget)
        vector = await _attempt("embed", embedding, notes, stages)
        search = self._store.search(collection, vector=vector, text=question, limit=top_k, deadline=budget)
        found = await _attempt("search", _within(search, budget), notes, stages)
        if found is None:
            return Retrieval(grounding=Grounding.UNAVAILABLE, notes=tuple(notes))
        hits = tuple(hit for hit in found if hit.text.strip())[:top_k]
        reranked = False
        if rerank and hits and self._reranker is not None:
            ordered = await _attempt("rerank", self._rerank(self._reranker, question, hits, budget), notes, stages)
            if ordered is not None:
                hits, reranked = ordered[:rerank_top_k], True
        grounding = Grounding.SOURCES if hits else Grounding.NOTHING_FOUND
        return Retrieval(hits=hits, grounding=grounding, reranked=reranked, notes=tuple(notes))

    async def _embed(self, question: str, budget: Deadline) -> RawVector:
        share = budget.sooner(timedelta(seconds=budget.remaining() * _EMBED_SHARE))
        return await _within(self._embeddings.embed_raw(self._options.query_prefix + question, deadline=share), share)

    async def _rerank(
        self, reranker: Reranker, question: str, hits: Sequence[Hit], budget: Deadline
    ) -> tuple[Hit, ...]:
        share = budget.sooner(self._options.rerank_timeout)
        scores = await _within(reranker.rerank(question, [hit.text for hit in hits], deadline=share), share)
        if len(scores) != len(hits):
            raise UpstreamError("The reranker did not score every passage.")
        scored = [msgspec.structs.replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
        relevant = [hit for hit in scored if hit.score >= self._options.min_rerank_score]
        return tuple(sorted(relevant, key=lambda hit: hit.score, reverse=True))


async def _within(call: Awaitable[_T], budget: Deadline) -> _T:
    """Wait no longer than the budget, however the callee reads its deadline."""
    try:
        async with asyncio.timeout(budget.remaining()):
            return await call
    except TimeoutError as error:
        raise DeadlineExceededError from error


async def _attempt(step: str, call: Awaitable[_T], notes: list[str], stages: Stages | None) -> _T | None:
    """Measure a step; a typed failure becomes a note and None."""
    measured: AbstractContextManager[object] = stages.measure(step) if stages is not None else nullcontext()
    try:
        with measured:
            return await call
    except FleetError as error:
        _log.warning("retrieval goes on without a step", extra={"step": step, "error_type": error.type.value})
        notes.append(f"{step}: {error.type.value}")
        return None
