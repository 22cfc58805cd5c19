from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from handler_base.nats_client import FailurePolicy
from handler_base.nats_client.delivery import nak_payload, term_payload


@given(st.integers(-3, 50))
def test_pauses_follow_the_schedule_within_the_jitter(attempt: int) -> None:
    policy = FailurePolicy(schedule=(timedelta(seconds=1), timedelta(seconds=10)), jitter=0.2)
    step = 1 if attempt <= 1 else 10
    assert 0.8 * step <= policy.delay(attempt).total_seconds() <= 1.2 * step


def test_without_a_schedule_there_is_no_pause() -> None:
    assert FailurePolicy(schedule=()).delay(1) == timedelta(0)


def test_the_last_attempt_is_known() -> None:
    policy = FailurePolicy(max_deliver=3)
    assert [policy.is_last(attempt) for attempt in (1, 2, 3, 4)] == [False, False, True, True]


def test_acknowledgements_are_what_the_server_reads() -> None:
    assert nak_payload(timedelta(seconds=1.5)) == b'-NAK {"delay":1500000000}'
    assert nak_payload(timedelta(0)) == b"-NAK"
    assert term_payload("internal") == b"+TERM internal"
    assert term_payload("") == b"+TERM"
