"""What is said in live sessions beside questions, how sessions end, and how replicas share them."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import nats as nats_py
import pytest

from handler_base.handler import Service
from handler_base.messages import VOICE_EVENTS, DomainEvent, decode
from handler_base.messages.streams import AI_EVENTS
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, FakeTTS, hang, reset, status
from handler_base.testing.live_caller import LiveCaller, LiveSession, live_caller
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until
from voice_assistant.floor import Floor
from voice_assistant.live_outlet import LiveOutlet
from voice_assistant.track import Track

StartVoice = Callable[..., Awaitable[Service]]

RATE = 8000
ANSWER = ("The lamp is lit at dusk and it burns. ", "Then the keeper rests until the dawn comes.")


def lasting(seconds: float) -> Callable[[str], list[bytes]]:
    """Sound of a length, whatever is said."""
    return lambda _: [b"\x01\x00" * int(RATE * seconds)]


def prompts_of(llm: FakeLLM) -> list[str]:
    """The last message of each prompt."""
    return [request.json["messages"][-1]["content"] for request in llm.requests]


@pytest.fixture
def start(start_bare: StartVoice) -> StartVoice:
    """Documents are for `test_live_documents.py`."""
    return start_bare


@pytest.fixture
async def live(nats: NatsServer) -> AsyncIterator[LiveCaller]:
    async with live_caller(nats.url) as connected:
        yield connected


@pytest.fixture
def voice(tts: FakeTTS, llm: FakeLLM) -> None:
    """A short answer in short sounds."""
    tts.script.sample_rate = RATE
    tts.script.sound = lasting(0.05)
    llm.script.tokens = ANSWER


@pytest.fixture
async def session(start: StartVoice, live: LiveCaller, voice: None) -> LiveSession:
    """A session with an assistant that remembers nothing."""
    del voice
    await start()
    return await live.open("s1")


async def speaking(session: LiveSession, llm: FakeLLM) -> None:
    """Ask, and wait until an answer is heard that will not end by itself."""
    llm.script.always = hang(after=1)
    llm.script.tokens = ("The lamp is lit at dusk and it burns. Then", "no")
    await session.say("When is the lamp lit?")
    await session.until(lambda heard: heard.chunks)


async def test_partial_transcripts_and_short_noises_are_no_questions(session: LiveSession, llm: FakeLLM) -> None:
    await session.say("When is", is_final=False, is_partial=True)
    await session.say("", has_voice_activity=False, audio_ms=300)
    await session.say("[BLANK_AUDIO]", audio_ms=300)
    await session.say("When is the lamp lit?")
    await session.answered()
    assert len(llm.requests) == len(session.answers) == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"audio_ms": 900}, "No speech was found in the audio."),
        ({"transcript": "(music)", "audio_ms": 900}, "No speech was found in the audio."),
        ({"error_type": "upstream_unavailable"}, "What was said could not be transcribed."),
    ],
)
async def test_what_is_not_understood_is_said_once(
    session: LiveSession, llm: FakeLLM, tts: FakeTTS, values: dict[str, object], error: str
) -> None:
    for _ in range(2):
        await session.say(**values)  # type: ignore[arg-type]  # any field
    await session.answered()
    (answer,) = session.answers
    assert (answer.error, answer.response) == (error, "I did not hear anything. Please say it again.")
    assert session.statuses == ["processing", "error"]
    assert len(session.speeches) == 1
    assert [piece.type for piece in session.pieces] == ["text", "error"]
    assert llm.requests == []
    await session.say("When is the lamp lit?")
    await session.answered(2)
    await session.say(**values)  # type: ignore[arg-type]  # any field
    await session.answered(3)
    assert len(tts.requests) == 4


async def test_a_few_words_beside_an_answer_do_not_stop_it(session: LiveSession, llm: FakeLLM) -> None:
    await speaking(session, llm)
    await session.say("mhm", state="responding")
    await session.say("", state="responding", audio_ms=900)
    await session.say("And when is the lamp put out?", state="responding")
    await session.answered(1)
    assert session.answers[0].transcription == "When is the lamp lit?"
    await session.until(lambda heard: len(heard.speeches) == 1)
    await wait_until(lambda: len(llm.requests) == 2)
    await session.until(partial(_speaks, times=2))
    await session.interrupt()
    await session.answered(2)


async def test_a_few_words_when_nothing_is_heard_are_a_question(session: LiveSession) -> None:
    await session.say("Why?", state="responding")
    await session.answered()
    assert session.answers[0].transcription == "Why?"


async def test_the_end_of_the_session_stops_what_is_heard(session: LiveSession, llm: FakeLLM) -> None:
    await speaking(session, llm)
    await session.say("", is_final=False, state="ended")
    await session.answered()
    await wait_until(lambda: llm.open_streams == 0)
    assert session.statuses == ["processing", "cancelled"]
    assert session.states == ["responding"]


async def test_the_last_question_of_a_session_is_answered(session: LiveSession, llm: FakeLLM) -> None:
    llm.script.delay = 0.2
    await session.say("When is the lamp lit?")
    await wait_until(lambda: len(llm.requests) == 1)
    await session.say("", is_final=False, state="ended")
    await session.answered()
    assert session.statuses == ["processing", "completed"]
    assert session.states == []


async def test_a_cancel_message_stops_what_is_heard(session: LiveSession, llm: FakeLLM) -> None:
    await speaking(session, llm)
    await session.cancel()
    await session.answered()
    await wait_until(lambda: llm.open_streams == 0)
    assert session.statuses == ["processing", "cancelled"]
    llm.script.always = None
    await session.say("And then?")
    await session.answered(2)
    assert session.answers[1].transcription == "And then?"


async def test_some_sessions_are_only_transcribed(session: LiveSession, live: LiveCaller, llm: FakeLLM) -> None:
    other = await live.open("listen-1")
    await other.say("When is the lamp lit?")
    await session.say("And put out?")
    await session.answered()
    assert other.came == []
    assert len(llm.requests) == 1


async def test_what_waited_too_long_is_not_spoken(start: StartVoice, live: LiveCaller, llm: FakeLLM) -> None:
    await start(live_turn_age=0)
    session = await live.open("s1")
    await session.say("When is the lamp lit?")
    await session.until(lambda heard: heard.answers)
    assert session.answers[0].error == "The question waited too long."
    assert llm.requests == []


async def test_an_answer_that_fails_is_said_aloud(session: LiveSession, llm: FakeLLM) -> None:
    llm.script.always = status(500)
    await session.say("When is the lamp lit?")
    await session.answered()
    (answer,) = session.answers
    assert answer.error
    assert answer.response == "I cannot answer that right now. Please try again later."
    assert len(session.speeches) == 1
    assert session.statuses == ["processing", "error"]
    assert session.pieces[-1].type == "error"


async def test_an_answer_that_breaks_off_is_one_speech(session: LiveSession, llm: FakeLLM) -> None:
    llm.script.always = reset(after=2)
    llm.script.tokens = (*ANSWER, " And")
    await session.say("When is the lamp lit?")
    await session.answered()
    assert session.statuses == ["processing", "error"]
    assert [chunk.is_last for chunk in session.chunks].count(True) == 1
    assert [chunk.chunk_index for chunk in session.chunks] == list(range(len(session.chunks)))


async def test_without_speech_the_text_goes_out(session: LiveSession, tts: FakeTTS) -> None:
    await tts.stop()
    await session.say("When is the lamp lit?")
    await session.answered()
    assert session.answers[0].response == "".join(ANSWER)
    assert session.answers[0].error == ""
    assert (session.chunks, session.statuses, session.states) == ([], ["error"], [])
    assert "".join(piece.content for piece in session.pieces if piece.type == "text") == "".join(ANSWER)


async def test_without_documents_and_memory_there_is_an_answer(
    start: StartVoice,
    redis: RedisServer,
    live: LiveCaller,
    embeddings: FakeEmbeddings,
    voice: None,
) -> None:
    del voice
    await start(redis_url=redis.url, milvus_port=1)
    redis.kill()
    await embeddings.stop()
    session = await live.open("s1")
    await session.say("When is the lamp lit?", speaker_id="ann")
    await session.answered()
    assert (session.answers[0].error, session.answers[0].rag_docs_used) == ("", 0)
    assert len(session.speeches) == 1


async def test_a_spent_quota_is_said(start: StartVoice, redis: RedisServer, live: LiveCaller, voice: None) -> None:
    del voice
    await start(redis_url=redis.url, memory_timeout=2, quota_requests_per_minute=1)
    session = await live.open("s1")
    for times in (1, 2):
        await session.say("When is the lamp lit?", speaker_id="ann")
        await session.answered(times)
    assert [bool(answer.error) for answer in session.answers] == [False, True]
    assert len(session.speeches) == 2


async def test_sound_is_not_far_ahead_of_its_being_played(
    start: StartVoice, live: LiveCaller, tts: FakeTTS, llm: FakeLLM, voice: None
) -> None:
    del voice
    tts.script.sound = lasting(1.0)
    llm.script.tokens = ANSWER[:1]
    await start(live_lead=0.2)
    session = await live.open("s1")
    await session.say("When is the lamp lit?")
    await session.answered()
    sent = [at for at, message in zip(session.times, session.came, strict=True) if message in session.chunks]
    assert sent[-1] - sent[0] > 0.6


async def test_every_step_is_told(session: LiveSession, nats: NatsServer) -> None:
    await session.say("When is the lamp lit?", speaker_id="ann", audio_ms=1200)
    await session.answered()
    client = await nats_py.connect(nats.url)
    try:
        js = client.jetstream()
        # What was said comes transcribed, and that is told where it was done.
        told = [name for name in VOICE_EVENTS if not name.startswith("transcription_")]

        async def complete() -> bool:
            return (await js.stream_info(AI_EVENTS.name)).state.messages >= len(told)

        await wait_until(complete)
        reader = await js.subscribe("ai.voice.event.>", stream=AI_EVENTS.name, ordered_consumer=True)
        events = [decode(DomainEvent, (await reader.next_msg(timeout=5)).data) for _ in told]
    finally:
        await client.close()
    assert sorted(event.name for event in events) == sorted(told)
    assert {(event.user_id, event.session_id) for event in events} == {("ann", "s1")}
    assert {event.request_id for event in events} == {session.answers[0].request_id}
    assert events[0].name == "request_received"
    assert (events[0].data["audio_ms"], events[0].data["text"]) == (1200, "When is the lamp lit?")


@pytest.mark.parametrize("seed", range(3))
async def test_questions_in_a_row_are_all_answered_once_whoever_gets_them(
    seed: int, start: StartVoice, live: LiveCaller, llm: FakeLLM, voice: None
) -> None:
    """Parts of questions at three replicas, many at once: each is answered once, in order, by one voice at a time."""
    del voice
    chance = random.Random(seed)
    llm.script.delay = (0.02, 0.1, 0.3)[seed]
    for _ in range(3):
        await start()
    sessions = [await live.open(f"s{number}") for number in range(3)]
    parts = [f"part{number}" for number in range(20)]
    for part in parts:
        for session in sessions:
            await session.say(part)
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
    for session in sessions:
        await session.until(lambda heard: len(heard.answers) == len(parts) and "completed" in heard.statuses)
        spoken = [answer for answer in session.answers if answer.response]
        assert [word for answer in spoken for word in answer.transcription.split()] == parts
        assert_one_voice(session)


def assert_one_voice(session: LiveSession) -> None:
    """Each speech is numbered from 0 to its end mark, and no two are mixed."""
    starts = [at for at, chunk in enumerate(session.chunks) if chunk.chunk_index == 0]
    for begun, ended in zip(starts, [*starts[1:], len(session.chunks)], strict=True):
        speech = session.chunks[begun:ended]
        assert [chunk.chunk_index for chunk in speech] == list(range(len(speech)))
        assert [chunk.is_last for chunk in speech] == [False] * (len(speech) - 1) + [True]


async def test_an_interrupt_and_the_next_question_reach_the_replica_that_speaks(
    start: StartVoice, live: LiveCaller, llm: FakeLLM, redis: RedisServer, voice: None
) -> None:
    """Many turns in one session at two replicas: one at a time, each stopped before the next begins."""
    del voice
    llm.script.tokens = ("The lamp is lit at dusk and it burns. Then", "no")
    llm.script.always = hang(after=1)
    services = [await start(redis_url=redis.url, memory_timeout=2) for _ in range(2)]
    session = await live.open("s1")
    for number in range(12):
        await session.say(f"question {number}", speaker_id="ann")
        await session.until(partial(_speaks, times=number + 1))
        if number % 2:
            await session.interrupt()
    await session.until(lambda heard: heard.statuses.count("cancelled") == 12)
    assert llm.open_streams == 0
    assert_one_voice(session)
    assert len(session.speeches) == 12
    assert all(service.ready for service in services)


def _speaks(session: LiveSession, times: int = 1) -> bool:
    """Whether so many answers have begun to be heard."""
    return sum(chunk.chunk_index == 0 for chunk in session.chunks) >= times


async def test_a_replica_that_stops_lets_its_answer_be_heard(
    start: StartVoice, live: LiveCaller, tts: FakeTTS, voice: None
) -> None:
    del voice
    tts.script.sound = lasting(0.5)
    service = await start()
    session = await live.open("s1")
    await session.say("When is the lamp lit?")
    await session.until(lambda heard: heard.chunks)
    await service.stop()
    assert session.statuses == ["processing", "completed"]


async def test_a_question_whose_replica_stops_before_it_speaks_is_answered_by_another(
    start: StartVoice, live: LiveCaller, llm: FakeLLM, voice: None
) -> None:
    del voice
    llm.script.failures = [hang()]
    first = await start(drain_timeout=0.1, max_deliver=3)
    session = await live.open("s1")
    await session.say("When is the lamp lit?")
    await wait_until(lambda: llm.open_streams == 1)
    await start(max_deliver=3)
    await first.stop()
    await session.until(lambda heard: heard.answers)
    assert [answer.response for answer in session.answers if answer.response] == ["".join(ANSWER)]


async def test_nothing_is_left_of_sessions(session: LiveSession, live: LiveCaller) -> None:
    del session
    sessions = [await live.open(f"t{number}") for number in range(100)]
    for one in sessions:
        await one.say("When is the lamp lit?")
    for one in sessions:
        await one.answered()

    def left() -> list[object]:
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, (Floor, LiveOutlet, Track))]
        own = {"live-turn", "speech", "speech-piece", "release-floor"}
        return [*held, *(task for task in asyncio.all_tasks() if task.get_name() in own)]

    await wait_until(lambda: not left(), every=0.05)
