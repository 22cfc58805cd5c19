"""What a successor takes of the copies that came to several replicas: all that was not heard, once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from handler_base.live import End, LiveEndpoint, LiveSession, live_endpoints_of
from handler_base.live.arrivals import Arrival
from handler_base.live.passing import Done
from handler_base.live.run import SessionRun
from handler_base.live.session import Answers
from handler_base.messages import STTStreamMessage, encode
from handler_base.nats_client import ConnectionOptions, EndpointStats, Msg, NatsConnection

from .conftest import WordService

CUT = 1_000.0
"""Unix seconds of the last message that the owner before has heard, by its own clock."""

LAG = 0.4
"""Seconds by which a replica may hear a message later or earlier than another."""

(WORDS,) = live_endpoints_of(WordService)


@dataclass
class Listener:
    """Work that keeps what it hears."""

    heard: list[str] = field(default_factory=list)

    async def take(self, message: STTStreamMessage) -> None:
        self.heard.append(message.audio.decode() or message.type)

    async def finish(self, end: End) -> None:
        self.heard.append(end.value)

    async def leave(self) -> Sequence[STTStreamMessage]:
        return []

    def drop(self) -> None:
        """Nothing is held."""

    def failed(self, error: Exception) -> STTStreamMessage:
        raise error


class Held:
    """A fence that nobody contests."""

    generation = 2

    def holds(self) -> bool:
        return True

    async def save(self, state: bytes, *, until: float) -> None:
        """Nothing is kept."""


def run_of(endpoint: LiveEndpoint, listener: Listener) -> SessionRun:
    def opened(session: LiveSession) -> Listener:
        return listener

    nowhere = NatsConnection(ConnectionOptions(servers=("nats://127.0.0.1:1",), name="nowhere"))
    answers = Answers(nowhere, endpoint)
    run = SessionRun(
        endpoint,
        "one",
        opened,
        answers,
        EndpointStats("words", WORDS.subject.template, "words", {}),
        inbox_bytes=1 << 20,
    )
    run.fence = Held()
    return run


def arrival(number: int, at: float, *, passed: bool = False, made: bool = False, kind: str = "chunk") -> Arrival:
    word = b"" if kind == "end" else b"left" if made else str(number).encode()
    message = STTStreamMessage(type=kind, audio=word, sequence=-1 if made else number)
    subject = WORDS.subject.format(session_id="one")
    return Arrival(Msg(subject, encode(message)), at, passed=passed, made=made)


@given(
    heard=st.integers(0, 20),
    lags=st.lists(st.floats(-LAG, LAG), min_size=40, max_size=40),
    passed=st.lists(st.booleans(), min_size=40, max_size=40),
    twice=st.sets(st.integers(0, 39)),
)
async def test_a_successor_takes_what_was_not_heard_once_and_in_order(
    heard: int, lags: list[float], passed: list[bool], twice: set[int]
) -> None:
    # 40 chunks, 20 ms apart; the owner before has heard the first of them, and left something of them.
    listener = Listener()
    run = run_of(WORDS, listener)
    sent = [CUT + 0.02 * (number - heard) for number in range(1, 41)]
    copies = [
        arrival(number, at + lag, passed=by_another)
        for number, (at, lag, by_another) in enumerate(zip(sent, lags, passed, strict=True), start=1)
    ]
    ending = arrival(0, sent[-1] + lags[0], kind="end")
    first = [arrival(0, CUT + 1e-6, passed=True, made=True)]
    # Before the successor listened by itself, what it heard may have been on its way to another replica as well.
    again = [
        arrival(place + 1, copies[place].at, passed=True) for place in twice if place >= heard and not passed[place]
    ]
    for one in (*copies, ending, *again, *first):
        assert run.put(one) is None
    marks = tuple(one.mark for one in copies[:heard])
    run.add_done(Done("before", 7, marks))
    run.add_done(Done("third", 8))
    await run.settle(lambda: {"before", "third"}, 7, CUT)
    await run.run()
    assert listener.heard == ["left", *(str(number) for number in range(heard + 1, 41)), "asked"]


async def test_what_is_passed_on_late_is_taken_unless_it_was_heard() -> None:
    listener = Listener()
    run = run_of(WORDS, listener)
    assert run.put(arrival(1, CUT + 1)) is None
    await run.settle(set, 1, CUT)
    for number in (1, 2):
        assert run.put(arrival(number, CUT + 1, passed=True)) is None
    run.end(End.IDLE)
    await run.run()
    assert listener.heard == ["1", "2", "idle"]


async def test_without_the_marks_of_the_owner_before_the_time_tells() -> None:
    listener = Listener()
    run = run_of(WORDS, listener)
    for number, at in enumerate((CUT - 0.5, CUT, CUT + 0.5)):
        assert run.put(arrival(number, at, passed=True)) is None
    await run.settle(set, 1, CUT)
    run.end(End.IDLE)
    await run.run()
    assert listener.heard == ["2", "idle"]
