"""The lexical-semantic reranker.

The score of a text is a logistic function of four measures of how it fits the question:

- the cosine of the question and the text's best sentence,
- the cosine of the question and the whole text (the mean of its sentences),
- the share of the question's words the text has, each weighted by how rare it is,
- a small bonus for words of the question that stand together in the text as they do in the question.

A cross-encoder reads both texts at once and is better; this one needs no weights beyond the sentence encoder's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.terms import Lexicon, phrase_length, split_sentences, terms
from deploy.local.inference.weights import Matrix

__all__ = ["Reranker"]

_BEST_SENTENCE: Final = 5.0
_WHOLE_TEXT: Final = 2.5
_COVERAGE: Final = 4.5
_PHRASE: Final = 1.0
_OFFSET: Final = -6.0
_LONGEST_PHRASE: Final = 4
_MAX_SENTENCES: Final = 64
_MOST_QUESTION_TERMS: Final = 64
_MOST_TERMS: Final = 2000


class Reranker:
    """Scores texts against a question.

    Args:
        batcher: Where vectors come from.
        lexicon: How rare words are.
    """

    def __init__(self, batcher: EmbeddingBatcher, lexicon: Lexicon) -> None:
        self._batcher = batcher
        self._lexicon = lexicon

    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text fits the question, 0 to 1, in the order of `texts`."""
        return [1 / (1 + math.exp(-value)) for value in await self.raw_score(question, texts)]

    async def raw_score(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return the scores before the logistic function."""
        split = [split_sentences(text)[:_MAX_SENTENCES] or [text] for text in texts]
        embedded = await self._batcher.embed([question, *(sentence for sentences in split for sentence in sentences)])
        return await asyncio.to_thread(self._combine, question, texts, split, embedded.vectors)

    def _combine(
        self, question: str, texts: Sequence[str], split: Sequence[Sequence[str]], vectors: Matrix
    ) -> list[float]:
        wanted = terms(question)[:_MOST_QUESTION_TERMS]
        scores: list[float] = []
        first = 1
        for text, sentences in zip(texts, split, strict=True):
            rows = vectors[first : first + len(sentences)]
            first += len(sentences)
            mean = rows.sum(axis=0)
            whole = float(mean @ vectors[0] / max(np.linalg.norm(mean), 1e-9))
            found = terms(text)[:_MOST_TERMS]
            phrase = min(phrase_length(wanted, found), _LONGEST_PHRASE) - 1
            scores.append(
                _BEST_SENTENCE * float((rows @ vectors[0]).max())
                + _WHOLE_TEXT * whole
                + _COVERAGE * self._lexicon.coverage(wanted, found)
                + _PHRASE * max(phrase, 0) / (_LONGEST_PHRASE - 1)
                + _OFFSET
            )
        return scores
