"""The extractive chat model: it answers in sentences of the sources it is shown, with their numbers.

A sentence fits a question by the cosine of both, by the share of the question's weighted words that it and its
surroundings have, and by whether it holds what the question asks for (a number, a name). When no sentence fits well
enough, or the sources never name what the question names, the model says so instead of guessing.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from deploy.local.inference.answer_kinds import holds_what_is_asked, names_in
from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.conversation import Conversation
from deploy.local.inference.passages import Statement, statements
from deploy.local.inference.terms import Lexicon, terms
from deploy.local.inference.weights import Matrix

__all__ = ["ABOUT", "NOT_ANSWERED", "ExtractiveModel"]

ABOUT: Final = (
    "I am the local extractive stand-in for a chat model: I answer only in sentences of the documents I am shown, "
    "and write none of my own."
)
NOT_ANSWERED: Final = "The documents I was given do not answer this question."
_NO_SOURCES: Final = f"{ABOUT} This question came without any documents, so I cannot answer it."

_GREETING: Final = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings|welcome)\b[\w ,'-]{0,40}[!.?]*$",
    re.IGNORECASE,
)
_WHO_ARE_YOU: Final = re.compile(r"\b(?:who|what) are you\b|\bwhat can you do\b|\bwhich model\b", re.IGNORECASE)
_FOLLOW_UP: Final = re.compile(
    r"^(?:and|but|so|what about|how about)\b|"
    r"\b(?:it|its|they|them|their|he|she|his|her|that|those|this|these|there|then)\b",
    re.IGNORECASE,
)
_COSINE: Final = 0.55
_COVERAGE: Final = 0.45
_HEADING: Final = 0.8
_BEFORE: Final = 0.5
_KIND_BONUS: Final = 0.1
_RANK_BONUS: Final = 0.04
_UNNAMED_PENALTY: Final = 0.4
_MISSING_PENALTY: Final = 0.3
_ABOUT_THE_SAME: Final = 0.4
_MOST_MISSING: Final = 12
_THRESHOLD: Final = 0.46
_COMPANION: Final = 0.86
_MOST_SENTENCES: Final = 3
_MOST_CANDIDATES: Final = 1000
_SAME: Final = 0.93
_SHORT_QUESTION: Final = 3


class ExtractiveModel:
    """Answers from the sources of a prompt.

    Args:
        batcher: Where vectors come from.
        lexicon: How rare words are.
    """

    def __init__(self, batcher: EmbeddingBatcher, lexicon: Lexicon) -> None:
        self._batcher = batcher
        self._lexicon = lexicon

    async def answer(self, conversation: Conversation) -> str:
        """Return the answer: sentences with their source's number, or a plain statement that there is none."""
        if _GREETING.match(conversation.question):
            return f"Hello! {ABOUT} Ask me something that they answer."
        if _WHO_ARE_YOU.search(conversation.question):
            return ABOUT
        candidates = [item for rank, source in enumerate(conversation.sources) for item in statements(source, rank)]
        if not candidates:
            return NOT_ANSWERED if conversation.searched else _NO_SOURCES
        candidates = candidates[:_MOST_CANDIDATES]
        question = resolve(conversation.question, conversation.past_questions)
        known = set(terms(" ".join(f"{item.source.title} {item.in_context}" for item in candidates)))
        missing = [term for term in dict.fromkeys(terms(question)) if term not in known][:_MOST_MISSING]
        embedded = await self._batcher.embed([question, *missing, *(item.in_context for item in candidates)])
        vectors = np.split(embedded.vectors, [1, 1 + len(missing)])
        doubt = self._doubt(question, known, missing, vectors[1] @ vectors[2].T)
        return await asyncio.to_thread(self._choose, question, candidates, vectors, doubt)

    def _doubt(self, question: str, known: set[str], missing: Sequence[str], closeness: Matrix) -> float:
        """Return what is taken off every score for words of the question that no source has.

        A word weighs less when some sentence is at least about the same thing ("rodents" where there is a mouse).
        """
        total = sum(self._lexicon.rarity(term) for term in dict.fromkeys(terms(question)))
        strange = sum(
            self._lexicon.rarity(term) * max(0.0, 1 - float(row.max()) / _ABOUT_THE_SAME)
            for term, row in zip(missing, closeness, strict=True)
        )
        named = _UNNAMED_PENALTY if _unnamed(question, known) else 0.0
        return named + (_MISSING_PENALTY * strange / total if total else 0.0)

    def _choose(self, question: str, candidates: Sequence[Statement], vectors: Sequence[Matrix], doubt: float) -> str:
        scores = self._scores(question, candidates, vectors[2] @ vectors[0][0])
        order = sorted(range(len(candidates)), key=scores.__getitem__, reverse=True)
        best = scores[order[0]]
        if best - doubt < _THRESHOLD:
            return NOT_ANSWERED
        chosen: list[int] = []
        for index in order:
            if scores[index] < best * _COMPANION or len(chosen) == _MOST_SENTENCES:
                break
            if all(float(vectors[2][index] @ vectors[2][other]) < _SAME for other in chosen):
                chosen.append(index)
        return " ".join(_cited(candidates[index]) for index in chosen)

    def _scores(self, question: str, candidates: Sequence[Statement], cosines: Matrix) -> list[float]:
        weights = self._weights(terms(question), [terms(item.in_context) for item in candidates])
        return [
            _COSINE * float(cosine)
            + _COVERAGE * _coverage(weights, item)
            + _KIND_BONUS * holds_what_is_asked(question, item.text)
            + _RANK_BONUS / (1 + item.rank)
            for item, cosine in zip(candidates, cosines, strict=True)
        ]

    def _weights(self, wanted: Sequence[str], sentences: Sequence[Sequence[str]]) -> dict[str, float]:
        """Weigh the question's words: rare in the language, and not in every sentence here."""
        count = Counter(term for sentence in sentences for term in set(sentence))
        scale = math.log(1 + len(sentences))
        return {
            term: self._lexicon.rarity(term) * (0.3 + 0.7 * math.log(1 + len(sentences) / (1 + count[term])) / scale)
            for term in wanted
        }


def resolve(question: str, past: Sequence[str]) -> str:
    """Return a question that cannot be understood alone ("and who repairs it?") with what was last named before it.

    Only the names: the words of an earlier question would outweigh its own. Where nothing was named, that question.
    """
    if not past or not _FOLLOW_UP.search(question) or len(terms(question)) > _SHORT_QUESTION:
        return question
    named = next((names for earlier in reversed(past) if (names := names_in(earlier))), [])
    return f"{question} {' '.join(named)}" if named else f"{past[-1]} {question}"


def _coverage(weights: dict[str, float], item: Statement) -> float:
    total = sum(weights.values())
    inside = set(terms(item.text))
    above = set(terms(f"{item.source.title} {item.heading}"))
    before = set(terms(item.before))
    covered = sum(
        weight * (1.0 if term in inside else _HEADING if term in above else _BEFORE if term in before else 0.0)
        for term, weight in weights.items()
    )
    return covered / total if total else 0.0


def _unnamed(question: str, known: set[str]) -> bool:
    """Tell whether the question names something (a proper name, an identifier) that no source mentions."""
    return any(term not in known for name in names_in(question) for term in terms(name)[:1])


def _cited(item: Statement) -> str:
    sentence = item.text.strip().strip("|").strip()
    end = sentence[-1] if sentence[-1] in ".!?" else "."
    return f"{sentence.rstrip('.!?')} [{item.source.number}]{end}"
