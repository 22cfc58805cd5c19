"""The metrics against cases worked out by hand."""

from __future__ import annotations

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.rag.eval import hit_rate, ndcg, recall, reciprocal_rank, score_questions

RELEVANT = {"a": 1.0, "b": 1.0, "z": 0.0}


def test_ndcg_of_the_ideal_order_is_one() -> None:
    assert ndcg(["a", "b", "x"], RELEVANT) == 1


def test_ndcg_discounts_by_rank() -> None:
    # One of two relevant ids, at rank 2: 1/log2(3), over the ideal 1/log2(2) + 1/log2(3).
    assert ndcg(["x", "a"], RELEVANT) == pytest.approx((1 / log2(3)) / (1 + 1 / log2(3)))


def test_ndcg_with_graded_gains() -> None:
    gains = {"a": 3.0, "b": 2.0, "c": 1.0}

    found = 2 / log2(2) + 3 / log2(3) + 1 / log2(5)
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert ndcg(["b", "a", "x", "c"], gains) == pytest.approx(found / ideal)


def test_ndcg_looks_at_k_only() -> None:
    assert ndcg(["x"] * 1 + [f"y{number}" for number in range(9)] + ["a"], RELEVANT) == 0
    assert ndcg(["x", "a"], RELEVANT, k=1) == 0


def test_recall_hit_rate_and_reciprocal_rank() -> None:
    found = ["x", "a", "y", "b"]

    assert [recall(found, RELEVANT, k) for k in (1, 2, 4)] == [0, 0.5, 1]
    assert [hit_rate(found, RELEVANT, k) for k in (1, 2)] == [0, 1]
    assert reciprocal_rank(found, RELEVANT) == 0.5
    assert reciprocal_rank(["x"] * 3, RELEVANT) == 0


def test_an_id_that_comes_twice_counts_once() -> None:
    assert ndcg(["a", "a", "b"], RELEVANT) == 1
    assert recall(["a", "a"], RELEVANT, 2) == 0.5


def test_nothing_relevant_scores_nothing() -> None:
    assert (ndcg(["a"], {}), recall(["a"], {}, 1), hit_rate(["a"], {}, 1), reciprocal_rank(["a"], {})) == (0, 0, 0, 0)


def test_means_are_over_answerable_questions() -> None:
    scores = score_questions(
        {"q1": ["a", "b"], "q2": ["x", "a"], "q3": ["a"]},
        {"q1": {"a": 1, "b": 1}, "q2": {"a": 1}, "q3": {}, "q4": {"a": 1}},
        ks=(1, 2),
    )

    assert scores.questions == 3
    assert scores.ndcg_at_10 == pytest.approx((1 + 1 / log2(3) + 0) / 3)
    assert scores.recall_at_k == {1: pytest.approx(0.5 / 3), 2: pytest.approx(2 / 3)}
    assert scores.mrr_at_10 == pytest.approx(0.5)
    assert scores.hit_rate_at_k == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3)}


def test_no_questions_score_zero() -> None:
    assert score_questions({}, {}).ndcg_at_10 == 0


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=12), st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 5))
)
def test_every_metric_is_between_zero_and_one(found: list[str], relevance: dict[str, float]) -> None:
    for value in (
        ndcg(found, relevance),
        recall(found, relevance, 3),
        reciprocal_rank(found, relevance),
        hit_rate(found, relevance, 3),
    ):
        assert 0 <= value <= 1 + 1e-9
