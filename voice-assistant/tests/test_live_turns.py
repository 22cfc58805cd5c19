"""Live conversation: a final transcript is answered aloud; what stops an answer, and what is remembered of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from handler_base.handler import Service
from handler_base.messages import Encoding
from handler_base.sessions import SessionStore
from handler_base.testing.inference import FakeLLM, FakeTTS, hang
from handler_base.testing.live_caller import LiveCaller, LiveSession, live_caller
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

StartVoice = Callable[..., Awaitable[Service]]

RATE = 8000
ANSWER = ("The lamp is lit at dusk and it burns. ", "Then the keeper rests until the dawn comes.")


def lasting(seconds: float) -> Callable[[str], list[bytes]]:
    """Sound of a length, whatever is said."""
    return lambda _: [b"\x01\x00" * int(RATE * seconds)]


def prompt_of(llm: FakeLLM) -> list[tuple[str, str]]:
    """The latest prompt without its rules."""
    return [(message["role"], message["content"]) for message in llm.requests[-1].json["messages"][1:]]


@pytest.fixture
def start(start_bare: StartVoice) -> StartVoice:
    """Documents are for `test_live_documents.py`."""
    return start_bare


@pytest.fixture
async def live(nats: NatsServer) -> AsyncIterator[LiveCaller]:
    async with live_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def session(start: StartVoice, live: LiveCaller, tts: FakeTTS, llm: FakeLLM) -> LiveSession:
    """A session with an assistant that remembers nothing."""
    tts.script.sample_rate = RATE
    tts.script.sound = lasting(0.05)
    llm.script.tokens = ANSWER
    await start()
    return await live.open("s1")


@pytest.fixture
async def keeping(start: StartVoice, redis: RedisServer, live: LiveCaller, tts: FakeTTS, llm: FakeLLM) -> LiveSession:
    """A session with an assistant that remembers."""
    tts.script.sample_rate = RATE
    tts.script.sound = lasting(0.05)
    llm.script.tokens = ANSWER
    await start(redis_url=redis.url, memory_timeout=2)
    return await live.open("s1")


async def test_a_final_transcript_is_answered_aloud(session: LiveSession) -> None:
    await session.say("When is the lamp lit?")
    await session.answered()
    assert [chunk.chunk_index for chunk in session.chunks] == list(range(len(session.chunks)))
    assert [chunk.is_last for chunk in session.chunks] == [False] * (len(session.chunks) - 1) + [True]
    assert {chunk.session_id for chunk in session.chunks} == {"s1"}
    assert {chunk.sample_rate for chunk in session.chunks[:-1]} == {RATE}
    assert session.speeches == [b"\x01\x00" * int(RATE * 0.1)]
    assert session.statuses == ["processing", "completed"]
    assert session.states == ["responding", "listening"]
    (answer,) = session.answers
    assert (answer.transcription, answer.response, answer.error) == ("When is the lamp lit?", "".join(ANSWER), "")
    assert answer.session_id == "s1"
    assert answer.timings_ms.keys() >= {"floor", "llm", "first_token", "first_clause", "first_sound", "first_audio"}
    assert {piece.request_id for piece in session.pieces} == {answer.request_id}
    assert [piece.sequence for piece in session.pieces] == list(range(len(session.pieces)))
    assert "".join(piece.content for piece in session.pieces if piece.type == "text") == "".join(ANSWER)


async def test_protocol_buffers_are_answered_in_their_own(session: LiveSession) -> None:
    await session.say("When is the lamp lit?", encoding=Encoding.PROTOBUF)
    await session.answered()
    assert session.speeches == [b"\x01\x00" * int(RATE * 0.1)]


async def test_speech_starts_while_the_model_writes(session: LiveSession, llm: FakeLLM) -> None:
    llm.script.always = hang(after=2)
    await session.say("When is the lamp lit?")
    await session.until(lambda heard: heard.chunks)
    assert llm.open_streams == 1
    await session.interrupt()
    await session.answered()


async def test_an_interrupt_stops_everything(session: LiveSession, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.always = hang(after=2)
    await session.say("When is the lamp lit?")
    await session.until(lambda heard: heard.chunks)
    tts.script.always = hang(after=1)
    await session.interrupt()
    await session.answered()
    await wait_until(lambda: llm.open_streams == tts.open_streams == 0)
    assert session.statuses == ["processing", "cancelled"]
    assert session.states == ["responding", "listening"]
    assert [chunk.is_last for chunk in session.chunks][-1]
    assert session.answers[0].error == ""
    assert session.pieces[-1].type == "done"


async def test_memory_keeps_what_was_heard(keeping: LiveSession, llm: FakeLLM) -> None:
    llm.script.always = hang(after=2)
    await keeping.say("When is the lamp lit?")
    await keeping.until(lambda heard: heard.chunks)
    await asyncio.sleep(0.1)  # the time that it takes to be heard
    await keeping.interrupt()
    await keeping.answered()
    assert keeping.answers[0].response == "The lamp is lit at dusk and it burns."
    llm.script.always = None
    await keeping.say("And put out?")
    await keeping.answered(2)
    assert prompt_of(llm)[:2] == [
        ("user", "When is the lamp lit?"),
        ("assistant", "The lamp is lit at dusk and it burns."),
    ]
    assert prompt_of(llm)[2][1].endswith("And put out?")


async def test_a_question_of_whose_answer_nothing_was_heard_is_asked_with_the_next(
    keeping: LiveSession, llm: FakeLLM
) -> None:
    llm.script.always = hang(after=0)
    await keeping.say("When is")
    await wait_until(lambda: llm.open_streams == 1)
    llm.script.always = None
    await keeping.say("the lamp lit?")
    await keeping.answered(2)
    assert [answer.response for answer in keeping.answers] == ["", "".join(ANSWER)]
    assert keeping.answers[1].transcription == "When is the lamp lit?"
    assert len(prompt_of(llm)) == 1
    assert llm.disconnects == 1


async def test_memory_never_holds_what_was_not_heard_or_a_word_twice(
    start: StartVoice, redis: RedisServer, live: LiveCaller, tts: FakeTTS, llm: FakeLLM
) -> None:
    """Sixty conversations of three turns, each interrupted at a moment of its own; pieces take 40 ms each.

    Ten thousand moments are tried on the track of a single answer: see `test_voice_track.py`.
    """
    pieces = [f"This is piece number {word} of it." for word in ("one", "two", "three", "four", "five", "six", "seven")]
    tts.script.sample_rate = RATE
    tts.script.sound = lasting(0.04)
    llm.script.tokens = [f"{piece} " for piece in pieces]
    await start(redis_url=redis.url, memory_timeout=5)
    store = SessionStore(redis.url, ttl=timedelta(days=1), most_turns=10, timeout=timedelta(seconds=5))
    await store.open()

    async def converse(number: int) -> None:
        chance = random.Random(number)
        session = await live.open(f"p{number}")
        for turn in range(3):
            speeches = len(session.speeches)
            await session.say(f"question {turn}.", speaker_id="ann")
            await session.until(lambda came: len(came.chunks) and came.states.count("responding") == turn + 1)  # noqa: B023 - awaited here
            await asyncio.sleep(chance.uniform(0, 0.35))
            await session.interrupt()
            await session.answered(turn + 1)
            assert len(session.speeches) == speeches + 1
        remembered = (await store.begin("ann", session.session_id)).turns
        answers = {answer.request_id: answer.response for answer in session.answers}
        for kept in remembered:
            assert kept.answer == answers[kept.request_id]
            said = kept.answer.replace("it. This", "it.|This").split("|")
            assert [piece.strip() for piece in said] == pieces[: len(said)]
        # No question is lost or asked twice: one of whose answer nothing was heard went along with the next.
        asked = " ".join(kept.question for kept in remembered).split(".")
        assert [one.strip() for one in asked if one] == [f"question {turn}" for turn in range(3)][: len(asked) - 1]

    await asyncio.gather(*(converse(number) for number in range(60)))
    await store.close()
