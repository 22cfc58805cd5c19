"""Bad recordings: a typed error each, in bounded time and memory, and good questions are answered meanwhile."""

from __future__ import annotations

import asyncio
import base64
import io
import random
import sys
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest

from deploy.tests.hostile.vitals import Vitals
from handler_base.messages import TTSRequest, VoiceRequest
from handler_base.nats_client import ObjectStore
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS, wav_file
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.tts_caller import TtsCaller
from handler_base.testing.voice_caller import VoiceCaller, voice_caller

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1024 * 1024
GOOD = wav_file(b"\x01\x00" * 16_000, 16_000)
TWENTY_MINUTES = 20 * 60 * 16_000 * 2
REFUSALS = {"400", "413", "415"}
PATIENCE = 2.0
"""Seconds in which a bad recording is refused, and a good question answered beside many of them."""


def zip_file(size: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("question.wav", random.Random(1).randbytes(size))
    return target.getvalue()


def bad_recordings() -> dict[str, bytes]:
    """Recordings as large as a message may be, and small ones."""
    large = 7 * MIB
    return {
        "0 bytes": b"",
        "half a header": GOOD[:20],
        "a header without samples": GOOD[:44],
        "truncated": wav_file(bytes(2 * large), 16_000)[:large],
        "a header that is wrong": GOOD[:22] + b"\0\0" + GOOD[24:] + bytes(large),
        "a header that points nowhere": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\xff\xff\xff\x7f" + bytes(large),
        "many empty parts": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * (large // 8),
        "a zip renamed to wav": zip_file(large),
        "zeros": bytes(large),
        "noise": b"\x00" + random.Random(2).randbytes(large),
    }


@dataclass(frozen=True)
class Talkers:
    """Both services as processes, and a client of each."""

    assistant: ServiceProcess
    speaker: ServiceProcess
    voice: VoiceCaller
    tts: TtsCaller


@pytest.fixture
async def talkers(nats: NatsServer, llm: FakeLLM) -> AsyncIterator[Talkers]:
    async with AsyncExitStack() as stack:
        stt = await stack.enter_async_context(FakeSTT())
        tts = await stack.enter_async_context(FakeTTS(dialect="xtts"))
        environment = {
            "NATS_URL": nats.url,
            "VLLM_URL": llm.url,
            "LLM_MODEL": "fake-model",
            "WHISPER_URL": stt.url,
            "TTS_URL": tts.url,
            "REDIS_URL": "none",
            "LOG_LEVEL": "ERROR",
        }
        processes = [ServiceProcess(name, environment) for name in ("voice_assistant", "tts_module")]
        assistant, speaker = await asyncio.gather(*map(stack.enter_async_context, processes))
        voice = await stack.enter_async_context(voice_caller(nats.url))
        yield Talkers(assistant, speaker, voice, TtsCaller(voice.client))


def question(audio: bytes, **values: str) -> VoiceRequest:
    return VoiceRequest(audio=audio, enable_rag=False, **values)  # type: ignore[arg-type]  # any field


async def test_bad_questions_are_refused_while_good_ones_are_answered(talkers: Talkers) -> None:
    voice, vitals = talkers.voice, Vitals(talkers.assistant)
    bad = bad_recordings()
    assert (await voice.ask(question(GOOD))).answer.audio
    for audio in bad.values():
        await voice.ask(question(audio))
    before = vitals.resident
    vitals.reset_peak()
    for name, audio in bad.items():
        began = time.perf_counter()
        heard = await voice.ask(question(audio))
        assert heard.error_code in REFUSALS, name
        assert heard.answer.error, name
        assert time.perf_counter() - began < PATIENCE, name
    assert vitals.peak - before < 3 * 8 * MIB
    asked = [await voice.begin(question(audio)) for audio in bad.values()]
    began = time.perf_counter()
    assert (await voice.ask(question(GOOD))).answer.audio
    assert time.perf_counter() - began < PATIENCE
    for one in asked:
        assert (await one.heard()).error_code in REFUSALS
    assert "Traceback" not in talkers.assistant.log


async def test_twenty_minutes_are_refused_before_they_are_read(talkers: Talkers) -> None:
    voice, vitals = talkers.voice, Vitals(talkers.assistant)
    store = ObjectStore(voice.client)
    await store.make_bucket("audio", max_age=timedelta(minutes=5))
    await store.put("audio", "long.wav", wav_file(bytes(TWENTY_MINUTES), 16_000))
    assert (await voice.ask(question(GOOD))).answer.audio
    vitals.reset_peak()
    before = vitals.resident
    began = time.perf_counter()
    heard = await voice.ask(question(b"", audio_ref="audio/long.wav"))
    assert heard.error_code == "413"
    assert time.perf_counter() - began < PATIENCE
    assert vitals.peak - before < 4 * MIB


async def test_bad_voices_are_refused_while_others_are_spoken(talkers: Talkers) -> None:
    tts, vitals = talkers.tts, Vitals(talkers.speaker)
    texts = {name: base64.b64encode(audio[: 5 * MIB]).decode() for name, audio in bad_recordings().items() if audio}
    texts["no base64"] = "!" * (5 * MIB)
    for text in texts.values():
        await tts.say("Hello.", speaker_wav_b64=text)
    before = vitals.resident
    vitals.reset_peak()
    for name, text in texts.items():
        began = time.perf_counter()
        heard = await tts.say("Hello.", speaker_wav_b64=text)
        assert (heard.said[-1], heard.codes[-1] in REFUSALS) == ("error", True), name
        assert time.perf_counter() - began < PATIENCE, name
    # The message, its text, and the recording in it.
    assert vitals.peak - before < 4 * 8 * MIB
    sessions = [await tts.hear() for _ in texts]
    for heard, text in zip(sessions, texts.values(), strict=True):
        await tts.ask(heard, TTSRequest(text="Hello.", speaker_wav_b64=text))
    began = time.perf_counter()
    assert (await tts.say("Hello.")).said[-1] == "completed"
    assert time.perf_counter() - began < PATIENCE
    for heard in sessions:
        assert (await heard.ended()).said[-1] == "error"
    assert "Traceback" not in talkers.speaker.log
