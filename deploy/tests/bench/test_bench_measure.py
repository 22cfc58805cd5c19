"""Figures of the bench: spreads, percentiles, ratios and bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bench.measure import Cost, Spread, percentile, ratios
from deploy.bench.result import Bar, Result, Row

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def cost(cpu: float, requests: int = 100) -> Cost:
    return Cost(cpu_seconds=cpu, wall_seconds=2.0, requests=requests, failures=0)


def test_cost_is_told_a_request() -> None:
    assert cost(0.05).cpu_us == pytest.approx(500)
    assert cost(0.05).rate == pytest.approx(50)


def test_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([3.0, 1.0, 10.0]).text(1) == "3.0 (1.0 to 10.0)"
    assert Spread.of([2000.0]).text(0) == "2,000"
    with pytest.raises(ValueError, match="needs a value"):
        Spread.of([])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


@given(VALUES, st.floats(0, 1))
def test_percentile_has_its_share_at_or_below(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_percentile_refuses_nonsense(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_ratio_is_made_round_by_round() -> None:
    # A machine twice as slow in the second round changes both, and so not the ratio.
    assert ratios([cost(1), cost(2)], [cost(2), cost(4)]) == Spread(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="zip"):
        ratios([cost(1)], [cost(1), cost(2)])


@pytest.mark.parametrize(
    ("value", "better", "passed"),
    [(1.0, "lower", True), (1.01, "lower", False), (1.0, "higher", True), (0.99, "higher", False)],
)
def test_bar_holds_at_its_limit(value: float, better: str, *, passed: bool) -> None:
    bar = Bar("x", Spread.of([value]), 1.0, "lower" if better == "lower" else "higher")
    assert bar.passed is passed
    assert (bar.score.median <= 1) is passed


def test_score_of_a_rate_is_turned_round() -> None:
    bar = Bar("rate", Spread(50.0, 0.0, 100.0), 25.0, "higher")
    assert bar.score == Spread(0.5, 0.25, float("inf"))


def test_wrong_answers_fail_a_scenario_whose_bars_hold() -> None:
    bar = Bar("x", Spread.of([0.5]), 1.0)
    assert Result("a", "A", [Row("ours", {})], [bar]).passed
    assert not Result("a", "A", [Row("ours", {})], [bar], failures={"no answer in time": 1}).passed
