from __future__ import annotations

from datetime import timedelta

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from handler_base.clients.breaker import BreakerOptions, BreakerState, CircuitBreaker
from handler_base.clients.retry import RetryBudget, RetryOptions, backoff

OPTIONS = BreakerOptions(failures=3, pause=timedelta(seconds=1), longest_pause=timedelta(seconds=4))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class BreakerMachine(RuleBasedStateMachine):
    """Whatever happens, at most one trial runs, and a closed breaker has seen fewer failures in a row than allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.told: list[BreakerState] = []
        self.breaker = CircuitBreaker(OPTIONS, self.told.append, self.clock)
        self.trial = False
        self.failures = 0

    @rule(seconds=strategies.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def call(self) -> None:
        before = self.breaker.state
        allowed = self.breaker.allow()
        if before is BreakerState.CLOSED:
            assert allowed
        if before is BreakerState.HALF_OPEN:
            assert not allowed
        if allowed and before is BreakerState.OPEN:
            assert not self.trial
            self.trial = True

    @precondition(lambda self: self.trial or self.breaker.state is BreakerState.CLOSED)
    @rule()
    def succeed(self) -> None:
        self.breaker.success()
        self.trial, self.failures = False, 0
        assert self.breaker.state is BreakerState.CLOSED

    @precondition(lambda self: self.trial or self.breaker.state is BreakerState.CLOSED)
    @rule()
    def fail(self) -> None:
        was_trial, self.trial = self.trial, False
        self.breaker.failure()
        self.failures += 1
        if was_trial or self.failures >= OPTIONS.failures:
            assert self.breaker.state is BreakerState.OPEN
            assert 0 < self.breaker.wait() <= 1.2 * OPTIONS.longest_pause.total_seconds()

    @precondition(lambda self: self.trial)
    @rule()
    def give_up(self) -> None:
        self.trial = False
        self.breaker.release()
        assert self.breaker.wait() == 0

    @invariant()
    def consistent(self) -> None:
        assert (self.breaker.state is BreakerState.HALF_OPEN) == self.trial
        assert self.breaker.failing == (self.failures > 0)
        if self.told:
            assert self.told[-1] is self.breaker.state


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase


def test_the_pause_doubles_with_each_failed_trial_up_to_its_bound() -> None:
    clock = Clock()
    breaker = CircuitBreaker(OPTIONS, clock=clock)
    for _ in range(3):
        breaker.failure()
    waits = []
    for _ in range(4):
        waits.append(breaker.wait())
        clock.now += breaker.wait()
        assert breaker.allow()
        breaker.failure()
    assert [round(wait / bound) for wait, bound in zip(waits, (1, 2, 4, 4), strict=True)] == [1, 1, 1, 1]


def test_an_old_call_that_fails_while_open_does_not_lengthen_the_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker(OPTIONS, clock=clock)
    for _ in range(3):
        breaker.failure()
    wait = breaker.wait()
    breaker.failure()
    breaker.release()
    assert breaker.wait() == wait


def test_the_budget_allows_a_reserve_and_then_a_share_of_the_calls() -> None:
    budget = RetryBudget(share=0.25, reserve=2)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    for _ in range(3):
        budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw()
    for _ in range(1000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_the_delay_grows_and_stays_within_its_bound() -> None:
    options = RetryOptions(first_delay=timedelta(milliseconds=100), longest_delay=timedelta(milliseconds=300))
    for repeat, bound in enumerate((0.1, 0.2, 0.3, 0.3)):
        delays = [backoff(repeat, options) for _ in range(200)]
        assert 0 <= min(delays) < max(delays) <= bound
