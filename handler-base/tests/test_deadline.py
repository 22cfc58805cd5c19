from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError

budgets = st.timedeltas(timedelta(seconds=-60), timedelta(hours=1))


def test_what_is_left_shrinks_with_time() -> None:
    deadline = Deadline.after(timedelta(seconds=10))
    first = deadline.remaining()
    assert 9 < first <= 10
    assert deadline.remaining() <= first
    assert not deadline.expired()
    deadline.check()


@pytest.mark.parametrize("budget", [timedelta(0), timedelta(seconds=-5)])
def test_nothing_is_left_after_it(budget: timedelta) -> None:
    deadline = Deadline.after(budget)
    assert deadline.remaining() == 0.0
    assert deadline.expired()
    with pytest.raises(DeadlineExceededError):
        deadline.check()


@given(whole=budgets, share=budgets)
def test_a_share_never_lasts_longer_than_the_whole(whole: timedelta, share: timedelta) -> None:
    deadline = Deadline.after(whole)
    stage = deadline.sooner(share)
    assert stage.due <= deadline.due
    assert stage.remaining() <= max(0.0, share.total_seconds()) + 1e-6


@given(whole=budgets, reserve=st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_a_reserve_is_kept(whole: timedelta, reserve: timedelta) -> None:
    deadline = Deadline.after(whole)
    assert deadline.shrunk_by(reserve).due == pytest.approx(deadline.due - reserve.total_seconds())
    assert deadline.shrunk_by(reserve).due <= deadline.due


def test_a_deadline_does_not_change() -> None:
    deadline = Deadline(5.0)
    with pytest.raises(AttributeError):
        deadline.due = 6.0  # type: ignore[misc]  # that it is frozen is what is tested
