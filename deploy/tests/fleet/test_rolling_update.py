"""All services are updated while they are used: nobody who uses them sees anything of it."""

from __future__ import annotations

import asyncio
import itertools
import math
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest

from deploy.tests.fleet.rolling import Fleet
from handler_base.messages import ChatRequest, VoiceRequest
from handler_base.testing.chat_caller import ChatCaller, chat_caller
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS
from handler_base.testing.inference.speech import wav_file
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.stt_caller import SttCaller, stt_caller
from handler_base.testing.tts_caller import TtsCaller, tts_caller
from handler_base.testing.voice_caller import VoiceCaller, voice_caller
from pipeline_bridge.testing import FakeArgo, PipelineCaller, pipeline_caller

pytestmark = pytest.mark.faults

SERVICES: Final = ("chat_handler", "voice_assistant", "tts_module", "stt_module", "pipeline_bridge")
REPLICAS: Final = 2
RATE: Final = 16_000

Use = Callable[[int], Awaitable[str]]
"""Uses the fleet once; returns what went wrong, or nothing."""


def tone(seconds: float, level: int) -> bytes:
    """Return what a detector by loudness takes for speech, or for a quiet room."""
    samples = (
        int(level * math.sin(index * 0.09) * (1 + math.sin(index * 0.002)) / 2) for index in range(int(seconds * RATE))
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


QUESTION: Final = wav_file(tone(1.0, 12_000), RATE)
SPOKEN: Final = tone(0.8, 20) + tone(1.2, 12_000) + tone(0.9, 20)


@dataclass
class Usage:
    """Uses the fleet in several ways at once until it is told to stop, and counts what came of it."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _users: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, name: str, use: Use, users: int) -> None:
        numbers = itertools.count()
        self._users += [asyncio.create_task(self._go_on(name, use, numbers)) for _ in range(users)]

    async def end(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._users)

    async def _go_on(self, name: str, use: Use, numbers: itertools.count[int]) -> None:
        while not self._stopped.is_set():
            try:
                error = await use(next(numbers))
            except TimeoutError:
                error = "no answer"
            self.done[name] += 1
            if error:
                self.wrong.append(f"{name}: {error}")


def uses(
    *,
    chat: ChatCaller,
    voice: VoiceCaller,
    tts: TtsCaller,
    stt: SttCaller,
    pipelines: PipelineCaller,
    argo: FakeArgo,
) -> dict[str, tuple[Use, int]]:
    """Return every way in which clients use the fleet, and how many do so at once."""

    async def ask(number: int) -> str:
        heard = await chat.ask(ChatRequest(message=f"q{number}", enable_rag=False, enable_streaming=False))
        return heard.answer.error

    async def stream(number: int) -> str:
        heard = await chat.put(ChatRequest(message=f"s{number}", enable_rag=False, enable_streaming=True))
        numbers = [chunk.sequence for chunk in heard.chunks]
        if heard.answer.error or numbers != list(range(len(numbers))) or not heard.chunks[-1].done:
            return heard.answer.error or f"a stream with the pieces {numbers}"
        return "" if heard.streamed == heard.answer.response else "a stream that differs from its answer"

    async def ask_aloud(number: int) -> str:
        heard = await voice.ask(VoiceRequest(request_id=f"v{number}", audio=QUESTION, enable_rag=False))
        return heard.answer.error or ("" if heard.answer.audio else "an answer without sound")

    async def put_aloud(number: int) -> str:
        heard = await voice.put(VoiceRequest(request_id=f"w{number}", audio=QUESTION, enable_rag=False))
        return heard.answer.error or ("" if heard.answer.audio else "an answer without sound")

    async def speak(number: int) -> str:
        heard = await tts.say(f"This is sentence {number}. And another one.")
        numbers = [chunk.chunk_index for chunk in heard.chunks]
        if heard.said[-1] != "completed" or numbers != list(range(len(numbers))) or not heard.chunks[-1].is_last:
            return f"a speech {heard.said} with the pieces {numbers}"
        return ""

    async def dictate(number: int) -> str:
        heard = await stt.hear(f"d{number}")
        await stt.send(heard, "start", sample_rate=RATE, channels=1, bit_depth=16, audio_encoding=1, sequence=0)
        following = await stt.speak(heard, SPOKEN, pace=0.1)
        await stt.send(heard, "end", sequence=following)
        await heard.ended()
        return "" if [final.transcript for final in heard.finals] == ["What is NATS?"] else f"finals {heard.finals}"

    async def run(number: int) -> str:
        request_id = await pipelines.trigger("document-ingestion", f"p{number}", source_url="https://docs.example/x")
        name = (await pipelines.until(request_id, "pending")).run_id
        for phase in ("Running", "Succeeded"):
            argo.put(name, phase)
            await pipelines.until(request_id, phase.lower())
        told = pipelines.said(request_id)
        return "" if told == ["submitted", "pending", "running", "succeeded"] else f"a run that told {told}"

    return {
        "chat": (ask, 4),
        "chat, durable and streamed": (stream, 4),
        "voice": (ask_aloud, 2),
        "voice, durable": (put_aloud, 2),
        "speech": (speak, 2),
        "dictation": (dictate, 3),
        "pipelines": (run, 2),
    }


@pytest.fixture
async def argo() -> AsyncIterator[FakeArgo]:
    async with FakeArgo("document-ingestion") as server:
        yield server
    assert server.wrong == []


@pytest.fixture
async def fleet(nats: NatsServer, llm: FakeLLM, argo: FakeArgo) -> AsyncIterator[Fleet]:
    llm.script.delay = 0.2
    async with FakeSTT() as whisper, FakeTTS() as tts:
        environment = {
            "NATS_URL": nats.url,
            "VLLM_URL": llm.url,
            "WHISPER_URL": whisper.url,
            "TTS_URL": tts.url,
            "REDIS_URL": "none",
            "ARCHIVE_MODE": "off",
            "ARGO_HOST": argo.url,
            "PIPELINE_ENGINE": "configured",
        }
        async with Fleet(environment, {"stt_module": {"VAD": "energy", "STT_PARTIALS": "false"}}) as running:
            yield running


async def test_a_rolling_update_of_all_services_loses_nothing_and_shows_no_error(
    fleet: Fleet, nats: NatsServer, argo: FakeArgo
) -> None:
    await fleet.start(SERVICES, REPLICAS)
    async with AsyncExitStack() as stack:
        every_way = uses(
            chat=await stack.enter_async_context(chat_caller(nats.url)),
            voice=await stack.enter_async_context(voice_caller(nats.url)),
            tts=await stack.enter_async_context(tts_caller(nats.url)),
            stt=await stack.enter_async_context(stt_caller(nats.url)),
            pipelines=await stack.enter_async_context(pipeline_caller(nats.url)),
            argo=argo,
        )
        usage = Usage()
        for name, (use, users) in every_way.items():
            usage.begin(name, use, users)
        for module in SERVICES:
            await fleet.update(module)
        await usage.end()
    print(dict(usage.done))
    assert usage.wrong == [], fleet.logs()
    assert min(usage.done.values()) >= 10
    assert fleet.exits == [0] * (len(SERVICES) * REPLICAS)
