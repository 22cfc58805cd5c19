"""Conversations, preferences and quotas by voice, and the steps of a question as events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import nats as nats_py
import pytest

from handler_base.handler import Service
from handler_base.messages import VOICE_EVENTS, DomainEvent, VoiceRequest, decode
from handler_base.messages.streams import AI_EVENTS
from handler_base.sessions import Preferences, SessionStore
from handler_base.sessions.archive.events import MESSAGE_SUBJECTS, archived_message
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, FakeSTT, FakeTTS, hang, wav_file
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.voice_caller import VoiceCaller
from handler_base.testing.waiting import wait_until

StartVoice = Callable[..., Awaitable[Service]]

RECORDING = wav_file(b"\x01\x00" * 16_000, 16_000)
RATE = 8000


def said(**values: object) -> VoiceRequest:
    request = VoiceRequest(audio=RECORDING, user_id="ann", session_id="s1", enable_rag=False)
    for name, value in values.items():
        setattr(request, name, value)
    return request


def lasting(seconds: float) -> Callable[[str], list[bytes]]:
    """Sound of a length, whatever is said."""
    return lambda _: [b"\x01\x00" * int(RATE * seconds)]


def prompt_of(llm: FakeLLM) -> list[tuple[str, str]]:
    """The latest prompt without its rules."""
    return [(message["role"], message["content"]) for message in llm.requests[-1].json["messages"][1:]]


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[SessionStore]:
    store = SessionStore(redis.url, ttl=timedelta(days=7), most_turns=10, timeout=timedelta(seconds=2))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def keeping(start: StartVoice, redis: RedisServer, caller: VoiceCaller, tts: FakeTTS) -> VoiceCaller:
    """A caller of an assistant that remembers; generous with time, on a machine that may be busy."""
    tts.script.sample_rate = RATE
    await start(redis_url=redis.url, memory_timeout=2)
    return caller


async def test_a_turn_is_remembered(keeping: VoiceCaller, llm: FakeLLM, stt: FakeSTT, store: SessionStore) -> None:
    llm.script.tokens = ("The lamp is lit at dusk.",)
    stt.script.pieces = ("When is the lamp lit?",)
    heard = await keeping.ask(said())
    assert heard.answer.session_id == "s1"
    stt.script.pieces = ("And put out?",)
    await keeping.ask(said())
    assert prompt_of(llm)[:2] == [("user", "When is the lamp lit?"), ("assistant", "The lamp is lit at dusk.")]
    assert "And put out?" in prompt_of(llm)[-1][1]
    session = await store.session("ann", "s1")
    assert session is not None
    assert (session.kind, session.turns) == ("voice", 2)


async def test_a_follow_up_is_searched_for_with_its_context(
    keeping: VoiceCaller, stt: FakeSTT, embeddings: FakeEmbeddings
) -> None:
    stt.script.pieces = ("When does the ferry cross?",)
    await keeping.ask(said(enable_rag=True))
    stt.script.pieces = ("And on sundays?",)
    await keeping.ask(said(enable_rag=True))
    asked = embeddings.requests[-1].json["input"]
    assert "ferry" in (asked[0] if isinstance(asked, list) else asked)


async def test_preferences_hold_where_the_question_says_nothing(
    keeping: VoiceCaller, store: SessionStore, stt: FakeSTT, llm: FakeLLM, tts: FakeTTS
) -> None:
    await store.set_preferences("ann", Preferences(voice="ben", language="de", model="fake-model", rag=False))
    heard = await keeping.ask(said(enable_rag=True))
    assert stt.requests[-1].form["language"] == b"de"
    assert {request.json["voice"] for request in tts.requests} == {"ben"}
    assert heard.answer.rag_docs_used == 0
    tts.requests.clear()
    await keeping.ask(said(voice="anna", language="en"))
    assert stt.requests[-1].form["language"] == b"en"
    assert {request.json["voice"] for request in tts.requests} == {"anna"}
    assert llm.requests[-1].json["model"] == "fake-model"


async def test_a_spent_quota_refuses_before_anything_is_transcribed(
    start: StartVoice, redis: RedisServer, caller: VoiceCaller, stt: FakeSTT
) -> None:
    await start(redis_url=redis.url, memory_timeout=2, quota_requests_per_minute=1)
    assert (await caller.ask(said())).error_code == ""
    assert (await caller.ask(said())).error_code == "429"
    assert len(stt.requests) == 1


async def test_a_stopped_answer_is_remembered_as_far_as_it_was_heard(
    keeping: VoiceCaller, llm: FakeLLM, tts: FakeTTS
) -> None:
    first, second = "The lamp is lit at dusk and it burns.", "The keeper sleeps in the tower by day, and dreams."
    llm.script.tokens = (f"{first} ", f"{second} ", "Nobody hears ", "of this.")
    llm.script.failures = [hang(after=3)]
    tts.script.sound = lambda text: lasting(0.05)(text) if text == first else lasting(60)(text)
    asked = await keeping.begin(said(enable_streaming=True, request_id="q1"))
    # Sixty seconds of sound in pieces of a fifth: the second sentence is on its way, and cannot have been heard.
    await wait_until(lambda: asked.count("audio") > 50)
    await asyncio.sleep(0.06)  # the time that the first one takes to be heard
    await keeping.cancel("q1")
    assert (await asked.heard()).error_code == "499"
    await keeping.ask(said())
    assert prompt_of(llm)[:2] == [("user", "What is NATS?"), ("assistant", first)]


@pytest.mark.parametrize("streaming", [True, False])
async def test_what_nobody_can_have_heard_is_not_remembered(
    keeping: VoiceCaller, llm: FakeLLM, tts: FakeTTS, *, streaming: bool
) -> None:
    llm.script.tokens = ("The lamp is lit at dusk and it burns. ", "The keeper sleeps in the tower by day.")
    llm.script.failures = [hang(after=2)]
    tts.script.sound = lasting(60 if streaming else 0.01)
    asked = await keeping.begin(said(enable_streaming=streaming, request_id="q1"))
    await wait_until(lambda: len(tts.requests) > 0)
    await wait_until(lambda: tts.open_streams == 0)
    await keeping.cancel("q1")
    assert (await asked.heard()).error_code == "499"
    await keeping.ask(said())
    assert len(prompt_of(llm)) == 1


async def test_an_answer_without_sound_is_remembered(keeping: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    await tts.stop()
    llm.script.tokens = ("The lamp is lit at dusk.",)
    assert (await keeping.ask(said())).answer.audio == b""
    await keeping.ask(said())
    assert ("assistant", "The lamp is lit at dusk.") in prompt_of(llm)


async def test_an_assistant_without_memory_answers(start: StartVoice, redis: RedisServer, caller: VoiceCaller) -> None:
    await start(redis_url=redis.url)
    redis.kill()
    heard = await caller.ask(said())
    assert heard.answer.audio
    assert heard.answer.session_id == "s1"


async def events_of(server: NatsServer, count: int) -> list[DomainEvent]:
    """Wait until the stream holds so many events, and read them with an independent client."""
    client = await nats_py.connect(server.url)
    try:
        js = client.jetstream()

        async def complete() -> bool:
            return (await js.stream_info(AI_EVENTS.name)).state.messages >= count

        await wait_until(complete)
        held = (await js.stream_info(AI_EVENTS.name)).state.messages
        subscription = await js.subscribe("ai.voice.event.>", stream=AI_EVENTS.name, ordered_consumer=True)
        return [decode(DomainEvent, (await subscription.next_msg(timeout=5)).data) for _ in range(held)]
    finally:
        await client.close()


async def test_every_step_is_told(voice: VoiceCaller, nats: NatsServer, stt: FakeSTT, llm: FakeLLM) -> None:
    stt.script.pieces = ("When does the lighthouse keeper light the lamp?",)
    llm.script.tokens = ("At dusk, as always, they say.", " Or later [1].")
    await voice.ask(said(enable_rag=True, request_id="q1", premium=True))
    events = await events_of(nats, len(VOICE_EVENTS))
    names = [event.name for event in events]
    assert sorted(names) == sorted(VOICE_EVENTS)
    assert names[:5] == list(VOICE_EVENTS[:5])
    assert names[-1] == "audio_response_ready"
    assert {(event.user_id, event.session_id, event.request_id) for event in events} == {("ann", "s1", "q1")}
    told = {event.name: event.data for event in events}
    assert told["transcription_completed"]["text"] == "When does the lighthouse keeper light the lamp?"
    answer = told["llm_response_generated"]
    assert (answer["text"], answer["status"], answer["model"]) == (
        "At dusk, as always, they say. Or later [1].",
        "complete",
        "fake-model",
    )
    assert answer["used_rag"] is True
    assert isinstance(answer["completion_tokens"], int)
    assert answer["completion_tokens"] > 0


async def test_the_archive_takes_the_question_and_the_answer(
    voice: VoiceCaller, nats: NatsServer, llm: FakeLLM
) -> None:
    llm.script.tokens = ("At dusk.",)
    await voice.ask(said(request_id="q1"))
    taken = [
        message
        for event in await events_of(nats, len(VOICE_EVENTS) - 1)
        if (subject := f"ai.voice.event.{event.name}") in MESSAGE_SUBJECTS
        and (message := archived_message(subject, event, position=1, stored_at=datetime.now(UTC)))
    ]
    assert [(message.kind, message.role, message.content) for message in taken] == [
        ("voice", "user", "What is NATS?"),
        ("voice", "assistant", "At dusk."),
    ]
    assert {(message.user_id, message.session_id, message.status) for message in taken} == {("ann", "s1", "complete")}


async def test_a_stopped_answer_is_told_as_far_as_it_was_heard(
    voice: VoiceCaller, nats: NatsServer, llm: FakeLLM, tts: FakeTTS
) -> None:
    llm.script.tokens = ("The lamp is lit at dusk and it burns. ", "No")
    llm.script.always = hang(after=2)
    tts.script.sound = lasting(0.01)
    asked = await voice.begin(said(enable_streaming=True, request_id="q1"))
    await wait_until(lambda: asked.count("audio") == 1)
    await asyncio.sleep(0.05)  # the time that it takes to be heard
    await voice.cancel("q1")
    await asked.heard()
    last = (await events_of(nats, 6))[-1]
    assert (last.name, last.data["status"]) == ("llm_response_generated", "cancelled")
    assert last.data["text"] == "The lamp is lit at dusk and it burns."


async def test_silence_is_no_message(voice: VoiceCaller, nats: NatsServer) -> None:
    await voice.ask(said(audio=b""))
    assert [event.name for event in await events_of(nats, 2)] == ["request_received", "audio_response_ready"]
