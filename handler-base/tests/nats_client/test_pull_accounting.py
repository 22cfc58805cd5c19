from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from handler_base.nats_client._pull_ledger import PullLedger
from handler_base.nats_client._pull_status import Verdict, classify, last_stream_sequence, messages_left


@given(st.integers(-(10**6), 10**6), st.text(max_size=60))
def test_every_status_has_a_verdict(status: int, description: str) -> None:
    assert isinstance(classify(status, description), Verdict)


@pytest.mark.parametrize(
    ("status", "description", "verdict"),
    [
        (100, "Idle Heartbeat", Verdict.HEARTBEAT),
        (404, "No Messages", Verdict.ENDED),
        (408, "Request Timeout", Verdict.ENDED),
        (409, "Batch Completed", Verdict.ENDED),
        (409, "Message Size Exceeds MaxBytes", Verdict.ENDED),
        (409, "Consumer Deleted", Verdict.GONE),
        (409, "Consumer is push based", Verdict.GONE),
        (409, "Leadership Change", Verdict.RETRY),
        (409, "Server Shutdown", Verdict.RETRY),
        (409, "Exceeded MaxWaiting", Verdict.RETRY),
        (409, "Exceeded MaxAckPending", Verdict.RETRY),
        (400, "Bad Request", Verdict.GONE),
        (503, "", Verdict.GONE),
        (423, "Nats-Wrong-Pin-Id", Verdict.RETRY),
    ],
)
def test_statuses_of_the_server(status: int, description: str, verdict: Verdict) -> None:
    assert classify(status, description) is verdict


@given(st.one_of(st.none(), st.dictionaries(st.just("Nats-Pending-Messages"), st.text(max_size=30))))
def test_how_many_are_left_is_a_number_or_unknown(headers: dict[str, str] | None) -> None:
    left = messages_left(headers)
    assert left is None or 0 <= left < 2**63


@given(st.integers(0, 2**63 - 1))
def test_numbers_of_the_server_are_read(number: int) -> None:
    assert messages_left({"Nats-Pending-Messages": str(number)}) == number
    assert last_stream_sequence({"Nats-Last-Stream": str(number)}) == number


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", "9" * 40, " 1"])
def test_what_is_no_number_is_unknown(text: str) -> None:
    assert messages_left({"Nats-Pending-Messages": text}) is None


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a server that answers pulls in any order, and sends strays."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = PullLedger()
        self.open: dict[str, int] = {}
        self.ended: list[str] = []

    @rule(batch=st.integers(1, 50))
    def pull(self, batch: int) -> None:
        token = self.ledger.opened(batch, expires_at=100.0)
        assert token not in self.open
        assert token not in self.ended
        self.open[token] = batch

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from([token for token, left in self.open.items() if left]))
        self.open[token] -= 1
        self.ledger.received()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(list(self.open)))
        assert self.ledger.closed(token, self.open.pop(token))
        self.ended.append(token)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), left=st.one_of(st.none(), st.integers(0, 100)))
    def stray(self, data: st.DataObject, left: int | None) -> None:
        assert not self.ledger.closed(data.draw(st.sampled_from(self.ended)), left)

    @rule()
    def nothing_expires_early(self) -> None:
        self.ledger.expire(99.0)

    @rule()
    def everything_expires(self) -> None:
        self.ledger.expire(100.0)
        self.ended += self.open
        self.open.clear()

    @invariant()
    def pending_is_what_the_server_may_send(self) -> None:
        assert self.ledger.pending == sum(self.open.values())


TestLedger = LedgerMachine.TestCase


def test_a_pull_that_ends_without_a_count_got_nothing() -> None:
    ledger = PullLedger()
    token = ledger.opened(10, 1.0)
    ledger.closed(token, None)
    assert ledger.pending == 0


def test_a_stray_message_is_not_counted_below_zero() -> None:
    ledger = PullLedger()
    ledger.received()
    assert ledger.pending == 0
