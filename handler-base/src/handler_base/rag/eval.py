"""Metrics of retrieval quality: each a pure function of the ids that were found and of those that are relevant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

__all__ = ["RetrievalScores", "hit_rate", "ndcg", "recall", "reciprocal_rank", "score_questions"]


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over a set of questions.

    Attributes:
        questions: Questions that have a relevant passage; the others count nowhere.
        ndcg_at_10: Normalised discounted cumulative gain of the first ten.
        recall_at_k: Share of the relevant passages among the first k, by k.
        mrr_at_10: Reciprocal of the rank of the first relevant passage among the first ten.
        hit_rate_at_k: Share of the questions with a relevant passage among the first k, by k.
    """

    questions: int
    ndcg_at_10: float
    recall_at_k: dict[int, float]
    mrr_at_10: float
    hit_rate_at_k: dict[int, float]


def ndcg(found: Sequence[str], relevance: Mapping[str, float], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first `k`, with linear gain as in trec_eval.

    Args:
        found: Ids in the order they were found; an id that comes again counts once.
        relevance: Gain by id; ids with a gain of 0 or less are not relevant.
        k: How many are looked at.

    Returns:
        0 to 1; 0 when nothing is relevant.
    """
    gains = [max(0.0, relevance.get(identity, 0.0)) for identity in dict.fromkeys(found)]
    ideal = sorted((gain for gain in relevance.values() if gain > 0), reverse=True)
    best = _discounted(ideal[:k])
    return _discounted(gains[:k]) / best if best else 0.0


def recall(found: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """Return the share of the relevant ids among the first `k`; 0 when nothing is relevant."""
    relevant = _relevant(relevance)
    return len(relevant & set(_first(found, k))) / len(relevant) if relevant else 0.0


def reciprocal_rank(found: Sequence[str], relevance: Mapping[str, float], k: int = 10) -> float:
    """Return 1 / rank of the first relevant id among the first `k`, or 0."""
    relevant = _relevant(relevance)
    return next((1 / rank for rank, identity in enumerate(_first(found, k), 1) if identity in relevant), 0.0)


def hit_rate(found: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """Return 1 when a relevant id is among the first `k`, else 0."""
    return float(bool(_relevant(relevance) & set(_first(found, k))))


def score_questions(
    found: Mapping[str, Sequence[str]], relevance: Mapping[str, Mapping[str, float]], ks: Sequence[int] = (1, 3, 5, 10)
) -> RetrievalScores:
    """Score a set of questions.

    Args:
        found: Ids by question, in the order they were found; a question that is missing found nothing.
        relevance: Gains by id, by question; questions without a relevant id are passed over.
        ks: The depths of recall and hit rate.
    """
    judged = [(found.get(question, ()), gains) for question, gains in relevance.items() if _relevant(gains)]
    return RetrievalScores(
        questions=len(judged),
        ndcg_at_10=_mean([ndcg(ids, gains) for ids, gains in judged]),
        recall_at_k={k: _mean([recall(ids, gains, k) for ids, gains in judged]) for k in ks},
        mrr_at_10=_mean([reciprocal_rank(ids, gains) for ids, gains in judged]),
        hit_rate_at_k={k: _mean([hit_rate(ids, gains, k) for ids, gains in judged]) for k in ks},
    )


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _relevant(relevance: Mapping[str, float]) -> set[str]:
    return {identity for identity, gain in relevance.items() if gain > 0}


def _first(found: Sequence[str], k: int) -> list[str]:
    return list(dict.fromkeys(found))[:k]


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
