"""Somebody speaks, hears an answer, and speaks into it: stt-module and voice-assistant as processes."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from deploy.local.question import RECORDING
from handler_base.messages import STTInterrupt, STTStreamMessage, decode
from handler_base.nats_client import Msg
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS, hang
from handler_base.testing.live_caller import LiveCaller, LiveSession, live_caller
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until

STEP: Final = 0.1
"""Seconds of a chunk."""


@pytest.fixture
async def stt() -> AsyncIterator[FakeSTT]:
    async with FakeSTT() as server:
        yield server


@pytest.fixture
async def tts() -> AsyncIterator[FakeTTS]:
    async with FakeTTS() as server:
        server.script.sample_rate = 8000
        server.script.sound = lambda _: [b"\x01\x00" * 32_000]
        yield server


@pytest.fixture
def fleet_settings(nats: NatsServer, llm: FakeLLM, stt: FakeSTT, tts: FakeTTS) -> dict[str, str]:
    return {
        "NATS_URL": nats.url,
        "VLLM_URL": llm.url,
        "WHISPER_URL": stt.url,
        "TTS_URL": tts.url,
        "REDIS_URL": "none",
        "MILVUS_PORT": "1",
        "LLM_MODEL": "fake",
        "VAD": "energy",
    }


@pytest.fixture
async def live(nats: NatsServer, fleet_settings: dict[str, str]) -> AsyncIterator[LiveCaller]:
    async with AsyncExitStack() as stack:
        services = [ServiceProcess(module, fleet_settings) for module in ("stt_module", "voice_assistant")]
        await asyncio.gather(*(stack.enter_async_context(service) for service in services))
        yield await stack.enter_async_context(live_caller(nats.url))


def recording() -> list[bytes]:
    """The beginning of a spoken question with silence behind it, in chunks."""
    with wave.open(str(RECORDING)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        samples = file.readframes(24_000) + bytes(2 * 12_000)
    size = int(16_000 * STEP) * 2
    return [samples[at : at + size] for at in range(0, len(samples), size)]


async def speak(session: LiveSession) -> None:
    """Speak at the pace of speech."""
    for chunk in recording():
        await session.stream(STTStreamMessage(type="chunk", audio=chunk))
        await asyncio.sleep(STEP)


async def test_a_question_is_answered_and_speaking_into_the_answer_stops_it(
    live: LiveCaller, llm: FakeLLM, tts: FakeTTS
) -> None:
    llm.script.tokens = ("The lamp is lit at dusk and it burns. Then", " no")
    llm.script.always = hang(after=1)
    session = await live.open("s1")
    interrupts: list[STTInterrupt] = []

    def heard(msg: Msg) -> None:
        if (msg.headers or {})["Message-Type"].endswith("STTInterrupt"):
            interrupts.append(decode(STTInterrupt, msg.data))

    await live.client.subscribe("ai.voice.transcription.s1", heard)
    await session.stream(STTStreamMessage(type="start", sample_rate=16_000, audio_encoding=1))
    await speak(session)
    await session.until(lambda came: came.chunks)
    assert session.states == ["responding"]

    await speak(session)
    await session.until(lambda came: "cancelled" in came.statuses)
    assert len(interrupts) == 1
    assert session.states[:2] == ["responding", "listening"]
    # The question that was spoken into the answer is answered in its turn.
    await session.until(lambda came: came.statuses.count("processing") == 2)

    await session.stream(STTStreamMessage(type="end"))
    await session.until(lambda came: came.statuses.count("cancelled") == 2)
    await wait_until(lambda: llm.open_streams == tts.open_streams == 0)
    assert len(session.speeches) == 2


@pytest.mark.faults
async def test_a_session_goes_on_when_the_replica_that_spoke_in_it_is_killed(
    nats: NatsServer, fleet_settings: dict[str, str], llm: FakeLLM
) -> None:
    llm.script.tokens = ("The lamp is lit at dusk and it burns. Then", " no")
    llm.script.failures = [hang(after=1)]
    async with AsyncExitStack() as stack:
        caller = await stack.enter_async_context(live_caller(nats.url))
        speaking = await stack.enter_async_context(ServiceProcess("voice_assistant", fleet_settings))
        session = await caller.open("s1")
        await session.say("When is the lamp lit?")
        await session.until(lambda came: came.chunks)
        await stack.enter_async_context(ServiceProcess("voice_assistant", fleet_settings))
        await speaking.kill()
        await session.say("And put out?")
        await session.until(lambda came: came.statuses.count("processing") == 2)
        await session.until(lambda came: came.answers)
        assert session.answers[0].transcription == "And put out?"
