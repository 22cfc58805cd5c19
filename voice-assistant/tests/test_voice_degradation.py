"""What is away takes from an answer what it would have added, and no more; what is late is said to be."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from handler_base.errors import InternalError
from handler_base.handler import Service
from handler_base.messages import VoiceRequest, encode
from handler_base.messages.subjects import VOICE_REQUEST
from handler_base.testing.inference import (
    FakeEmbeddings,
    FakeLLM,
    FakeReranker,
    FakeSTT,
    FakeTTS,
    TTSScript,
    hang,
    status,
    wav_file,
)
from handler_base.testing.milvus import MilvusRestFront
from handler_base.testing.voice_caller import Asked, VoiceCaller
from handler_base.testing.waiting import wait_until
from voice_assistant.answers import answer_to
from voice_assistant.exchange import Exchange
from voice_assistant.track import Track

StartVoice = Callable[..., Awaitable[Service]]

RECORDING = wav_file(b"\x01\x00" * 16_000, 16_000)
LAMP = ("When does the lighthouse keeper light the lamp?",)


def question(**values: object) -> VoiceRequest:
    request = VoiceRequest(audio=RECORDING)
    for name, value in values.items():
        setattr(request, name, value)
    return request


async def begin(voice: VoiceCaller, request: VoiceRequest, *, budget_ms: int) -> Asked:
    """Ask with a time budget of the caller's own."""
    asked = Asked("late")
    inbox = voice.client.new_inbox()
    await voice.client.subscribe(inbox, asked.final.put_nowait)
    headers = {"Deadline-Ms": str(budget_ms)}
    await voice.client.publish(VOICE_REQUEST.template, encode(request), headers=headers, reply=inbox)
    return asked


def test_an_answer_belongs_to_its_question() -> None:
    request = question(request_id="q1", session_id="s1")
    answer = answer_to(request)
    assert (answer.request_id, answer.session_id) == ("q1", "s1")
    with pytest.raises(InternalError):
        answer_to(question())


@pytest.mark.parametrize("away", ["embeddings", "reranker", "milvus"])
async def test_an_answer_does_without_documents(
    voice: VoiceCaller,
    stt: FakeSTT,
    *,
    embeddings: FakeEmbeddings,
    reranker: FakeReranker,
    front: MilvusRestFront,
    away: str,
) -> None:
    stt.script.pieces = LAMP
    for name, server in (("embeddings", embeddings), ("reranker", reranker), ("milvus", front)):
        if name == away:
            await server.stop()
    heard = await voice.ask(question())
    assert (heard.error_code, heard.answer.error) == ("", "")
    assert heard.answer.audio
    assert (heard.answer.rag_docs_used > 0) is (away != "milvus")


async def test_a_collection_that_cannot_be_one_is_the_callers_fault(voice: VoiceCaller, tts: FakeTTS) -> None:
    heard = await voice.ask(question(collection="no such/name"))
    assert heard.error_code == "400"
    assert tts.requests == []


@pytest.mark.parametrize("values", [{"voice": "../etc/passwd"}, {"language": "en; drop"}])
async def test_what_a_server_could_take_amiss_is_refused(
    voice: VoiceCaller, stt: FakeSTT, values: dict[str, str]
) -> None:
    assert (await voice.ask(question(**values))).error_code == "400"
    assert stt.requests == []


async def test_without_transcription_or_model_there_is_no_answer(
    voice: VoiceCaller, stt: FakeSTT, llm: FakeLLM
) -> None:
    await llm.stop()
    heard = await voice.ask(question(enable_streaming=True))
    assert heard.error_code == "503"
    assert heard.kinds == ["transcription", "error"]
    await stt.stop()
    heard = await voice.ask(question(enable_streaming=True))
    assert (heard.error_code, heard.kinds) == ("503", ["error"])


async def test_the_question_is_tried_again_before_anything_went_out(
    start: StartVoice, caller: VoiceCaller, stt: FakeSTT
) -> None:
    await start(max_deliver=3, ack_wait=2)
    stt.script.failures = [status(503)] * 3
    heard = await caller.put(question(enable_rag=False))
    assert heard.answer.audio


async def test_speech_that_hangs_leaves_time_for_the_text(voice: VoiceCaller, tts: FakeTTS) -> None:
    tts.script.always = hang(after=1)
    asked = await begin(voice, question(enable_rag=False), budget_ms=900)
    heard = await asked.heard()
    assert (heard.error_code, heard.answer.audio) == ("", b"")
    assert heard.answer.response


@pytest.mark.parametrize("late", ["stt", "llm"])
async def test_a_server_that_hangs_is_waited_for_until_the_deadline(
    voice: VoiceCaller, stt: FakeSTT, llm: FakeLLM, late: str
) -> None:
    server = {"stt": stt, "llm": llm}[late]
    server.script.always = hang()
    asked = await begin(voice, question(enable_rag=False), budget_ms=300)
    assert (await asked.heard()).error_code == "504"
    await wait_until(lambda: server.open_streams == 0)


async def test_a_deadline_that_is_over_costs_nothing(voice: VoiceCaller, stt: FakeSTT) -> None:
    assert (await (await begin(voice, question(), budget_ms=0)).heard()).error_code == "504"
    assert stt.requests == []


async def test_sound_that_does_not_fit_a_message_is_left_out(voice: VoiceCaller, tts: FakeTTS) -> None:
    tts.script = TTSScript(chunks=(bytes(600_000), bytes(600_000)))
    heard = await voice.ask(question(enable_rag=False, enable_streaming=True))
    assert (heard.error_code, heard.answer.audio, heard.answer.audio_format) == ("", b"", "")
    assert heard.answer.response
    assert len(heard.sound) == 1_200_000


async def test_a_question_leaves_nothing_behind(voice: VoiceCaller, llm: FakeLLM, stt: FakeSTT, tts: FakeTTS) -> None:
    """Recordings and sound are large: they go with their question, without waiting for the garbage collector."""
    await voice.ask(question())
    gc.collect()
    gc.disable()
    try:
        for streaming in (True, False):
            for server in (llm, tts, stt, None):
                if server is not None:
                    server.script.failures = [status(500)] * 3
                await voice.ask(question(enable_rag=False, enable_streaming=streaming))
                for each in (llm, tts, stt):
                    each.script.failures = []
            await voice.ask(question(audio=b"", enable_streaming=streaming))
            tts.script.always = hang(after=1)
            asked = await voice.begin(question(enable_rag=False, enable_streaming=streaming))
            await wait_until(lambda: tts.open_streams == 1)
            await voice.cancel(asked.request_id)
            await asked.heard()
            tts.script.always = None
        await wait_until(lambda: not [one for one in gc.get_objects() if isinstance(one, (Track, Exchange))])
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("speech")] == []
    finally:
        gc.enable()


async def test_backends_that_are_away_show_as_degraded(start: StartVoice, caller: VoiceCaller, tts: FakeTTS) -> None:
    service = await start()
    await tts.stop()
    await caller.ask(question(enable_rag=False))
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{service.health_port}/ready") as answer,
    ):
        assert answer.status == 200
        assert (await answer.json())["degraded"] == {"tts": "away"}
