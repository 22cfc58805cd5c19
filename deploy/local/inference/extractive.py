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
from dataclasses import dataclass
from typing import Final

import numpy as np

from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.conversation import Conversation, Source
from deploy.local.inference.terms import Lexicon, split_sentences, terms
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
_ASKS_NUMBER: Final = re.compile(
    r"\b(?:how (?:many|much|long|far|deep|high|tall|old|often|heavy|fast|wide|big|large|cold|hot|late|early)|when|"
    r"what (?:year|time|date|day|number|percentage|share|price|fee|weight|depth|height|length|temperature))\b",
    re.IGNORECASE,
)
_ASKS_PERSON: Final = re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE)
_NUMBER: Final = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|hundred|"
    r"thousand|twice|once|daily|weekly|monthly|yearly|annually|noon|midnight)\b",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"(?<=\w )(?!I\b)[A-Z][a-zà-ÿ]+")
_IDENTIFIER: Final = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z\d]+(?:[-/.][A-Za-z\d]+)*\b|\b\d+\b")

_COSINE: Final = 0.55
_COVERAGE: Final = 0.45
_SURROUNDINGS: Final = 0.5
_KIND_BONUS: Final = 0.06
_RANK_BONUS: Final = 0.04
_UNNAMED_PENALTY: Final = 0.25
_THRESHOLD: Final = 0.42
_COMPANION: Final = 0.86
_MOST_SENTENCES: Final = 3
_MOST_CANDIDATES: Final = 1000
_SAME: Final = 0.93
_SHORT_QUESTION: Final = 4


@dataclass(frozen=True, slots=True)
class _Candidate:
    source: Source
    rank: int
    sentence: str
    surroundings: str


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
        candidates = [item for rank, source in enumerate(conversation.sources) for item in _candidates(source, rank)]
        if not candidates:
            return NOT_ANSWERED if conversation.searched else _NO_SOURCES
        candidates = candidates[:_MOST_CANDIDATES]
        question = resolve(conversation.question, conversation.past_questions)
        embedded = await self._batcher.embed([question, *(item.sentence for item in candidates)])
        return await asyncio.to_thread(self._choose, question, candidates, embedded.vectors)

    def _choose(self, question: str, candidates: Sequence[_Candidate], vectors: Matrix) -> str:
        scores = self._scores(question, candidates, vectors)
        order = sorted(range(len(candidates)), key=scores.__getitem__, reverse=True)
        best = scores[order[0]]
        if best < _THRESHOLD:
            return NOT_ANSWERED
        chosen: list[int] = []
        for index in order:
            if scores[index] < best * _COMPANION or len(chosen) == _MOST_SENTENCES:
                break
            if all(float(vectors[index + 1] @ vectors[other + 1]) < _SAME for other in chosen):
                chosen.append(index)
        return " ".join(_cited(candidates[index]) for index in chosen)

    def _scores(self, question: str, candidates: Sequence[_Candidate], vectors: Matrix) -> list[float]:
        weights = self._weights(terms(question), [terms(item.sentence) for item in candidates])
        everything = set(terms(" ".join(item.surroundings for item in candidates)))
        penalty = _UNNAMED_PENALTY if _unnamed(question, everything) else 0.0
        cosines = vectors[1:] @ vectors[0]
        return [
            _COSINE * float(cosine)
            + _COVERAGE * _coverage(weights, item)
            + _kind_bonus(question, item.sentence)
            + _RANK_BONUS / (1 + item.rank)
            - penalty
            for item, cosine in zip(candidates, np.asarray(cosines), strict=True)
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
    """Return the question with the one before it, when it cannot be understood alone ("and who repairs it?")."""
    if past and _FOLLOW_UP.search(question) and len(terms(question)) <= _SHORT_QUESTION:
        return f"{past[-1]} {question}"
    return question


def _candidates(source: Source, rank: int) -> list[_Candidate]:
    sentences = split_sentences(source.text)
    return [
        _Candidate(source, rank, sentence, " ".join((source.title, *sentences[max(0, index - 2) : index + 1])))
        for index, sentence in enumerate(sentences)
        if len(sentence.split()) >= 4
    ]


def _coverage(weights: dict[str, float], item: _Candidate) -> float:
    total = sum(weights.values())
    inside = set(terms(item.sentence))
    around = set(terms(item.surroundings))
    covered = sum(
        weight * (1.0 if term in inside else _SURROUNDINGS if term in around else 0.0)
        for term, weight in weights.items()
    )
    return covered / total if total else 0.0


def _kind_bonus(question: str, sentence: str) -> float:
    if _ASKS_NUMBER.search(question) and _NUMBER.search(sentence):
        return _KIND_BONUS
    if _ASKS_PERSON.search(question) and _NAME.search(sentence):
        return _KIND_BONUS
    return 0.0


def _unnamed(question: str, everything: set[str]) -> bool:
    """Tell whether the question names something (a proper name, an identifier) that no source mentions."""
    named = [match[0] for match in (*_NAME.finditer(question), *_IDENTIFIER.finditer(question))]
    return any(term not in everything for name in named for term in terms(name)[:1])


def _cited(item: _Candidate) -> str:
    sentence = item.sentence.strip().strip("|").strip()
    end = sentence[-1] if sentence[-1] in ".!?" else "."
    return f"{sentence.rstrip('.!?')} [{item.source.number}]{end}"
