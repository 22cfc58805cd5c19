"""`fleet voice`: a recorded question and its spoken answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_base.cli.voice import sound
from handler_base.clients.audio import pcm_to_wav
from handler_base.errors import InvalidRequestError
from handler_base.handler import Context, Service
from handler_base.messages import DocumentSource, VoiceRequest, VoiceResponse, VoiceStreamChunk
from handler_base.messages.subjects import VOICE_RESPONSE_STREAM
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, ObjectStore
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import probe_settings

from .conftest import Fleet, Spawn
from .voice_probe import Plain, VoiceProbe

RATE = 16_000
QUESTION = pcm_to_wav(b"\x01\x00" * 1600, RATE)
SOUND = b"\x05\x00" * 800


@pytest.fixture
async def probe(own_nats: NatsServer, folder: Path) -> AsyncIterator[VoiceProbe]:
    (folder / "question.wav").write_bytes(QUESTION)
    handler = VoiceProbe(probe_settings(own_nats.url))
    service = Service(handler)
    await service.start()
    yield handler
    await service.stop()


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a sound device; this backend is for web browsers only."""
    monkeypatch.setattr(sound, "BACKENDS", ("WEBAUDIO",))


async def answered(request: VoiceRequest, _: Context) -> VoiceResponse:
    return VoiceResponse(
        request_id=request.request_id,
        transcription="when is the ferry",
        response="The ferry leaves at six [1].",
        audio=pcm_to_wav(SOUND, RATE),
        audio_format="wav",
        sample_rate=RATE,
        sources=[DocumentSource(text="First run\n06:00", score=0.91, chunk_id="c-1", title="Timetable")],
        latency_ms=1000.0,
        timings_ms={"stt": 400.0, "search": 20.0, "llm": 500.0, "speech": 70.0, "first_token": 9.0},
        rag_docs_used=1,
    )


async def streamed(request: VoiceRequest, context: Context) -> VoiceResponse:
    stream = context.stream(VOICE_RESPONSE_STREAM.format(request_id=context.request_id), Plain())
    await stream.write(VoiceStreamChunk(type="transcription", content="when is the ferry"))
    for word in ("At ", "six"):
        await stream.write(VoiceStreamChunk(type="text", content=word))
        await stream.write(VoiceStreamChunk(type="audio", audio=SOUND, audio_format="pcm", sample_rate=RATE))
    return VoiceResponse(request_id=request.request_id, transcription="when is the ferry", response="At six.")


async def test_the_answer_is_printed_timed_and_saved(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    probe.answering = answered
    run = await fleet("voice", "question.wav", "-o", "answer.wav")
    assert run.code == 0, run.err
    assert run.out.startswith("Heard: when is the ferry\n\nThe ferry leaves at six [1].\n")
    assert "[1] 0.910  Timetable  (id c-1)" in run.out
    assert "Speech: answer.wav (0.1 s at 16000 Hz)" in run.out
    assert "1.00 s: hearing 0.40, searching 0.02, writing 0.50, speaking 0.07; 30 ms of it outside" in run.out
    assert "first_token" not in run.out
    assert (folder / "answer.wav").read_bytes() == pcm_to_wav(SOUND, RATE)
    assert probe.asked[0].audio == QUESTION


async def test_options_reach_the_question(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    probe.answering = answered
    (folder / "q.MP3").write_bytes(b"ID3")
    await fleet(
        *("voice", "q.MP3", "--session", "s-1", "--user", "ann", "--collection", "docs", "--no-rag", "--premium"),
        *("--voice", "slt", "--language", "de", "--stream"),
    )
    asked = probe.asked[0]
    assert (asked.audio, asked.format, asked.session_id, asked.user_id) == (b"ID3", "mp3", "s-1", "ann")
    assert (asked.collection, asked.enable_rag, asked.premium) == ("docs", False, True)
    assert (asked.voice, asked.language, asked.enable_streaming) == ("slt", "de", True)


async def test_a_stream_is_printed_as_it_comes_and_its_sound_is_saved(
    fleet: Fleet, probe: VoiceProbe, folder: Path
) -> None:
    probe.answering = streamed
    run = await fleet("voice", "question.wav", "--stream", "-o", "answer.wav")
    assert run.code == 0, run.err
    assert run.out.startswith("Heard: when is the ferry\n\nAt six.\n")
    assert (folder / "answer.wav").read_bytes() == pcm_to_wav(2 * SOUND, RATE)


async def test_json_is_one_object_without_the_sound(fleet: Fleet, probe: VoiceProbe) -> None:
    probe.answering = answered
    answer = (await fleet("voice", "question.wav", "--json", "-o", "answer.wav")).json
    assert answer["transcription"] == "when is the ferry"
    assert (answer["audio"], answer["audio_file"], answer["error_type"]) == ("", "answer.wav", "")
    assert answer["audio_bytes"] > len(SOUND)
    assert answer["timings_ms"]["stt"] == 400.0


async def test_a_long_recording_goes_through_an_object_store(
    fleet: Fleet, probe: VoiceProbe, client: NatsConnection, folder: Path
) -> None:
    long = pcm_to_wav(os.urandom(1_500_000), RATE)
    (folder / "long.wav").write_bytes(long)
    fetched = b""

    async def fetch(request: VoiceRequest, context: Context) -> VoiceResponse:
        nonlocal fetched
        bucket, _, name = request.audio_ref.partition("/")
        fetched = await ObjectStore(client).get(bucket, name, most_bytes=len(long))
        return await answered(request, context)

    probe.answering = fetch
    run = await fleet("voice", "long.wav", "--bucket", "questions")
    assert run.code == 0, run.err
    assert fetched == long
    left = await JetStreamApi(client).stream_info("OBJ_questions")
    assert not isinstance(left, ApiError)
    # What is left says that there was something.
    assert left.state.bytes < 1000


async def test_an_error_is_told_after_what_was_said_about_it(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    async def nothing(request: VoiceRequest, context: Context) -> VoiceResponse:
        context.refusal = VoiceResponse(
            request_id=request.request_id,
            response="Please say it again.",
            error="No speech was found in the audio.",
            audio=pcm_to_wav(SOUND, RATE),
            audio_format="wav",
        )
        raise InvalidRequestError("No speech was found in the audio.")

    probe.answering = nothing
    run = await fleet("voice", "question.wav", "-o", "again.wav")
    assert run.code == 1
    assert run.out.startswith("Please say it again.\n")
    assert run.err == "fleet: No speech was found in the audio. (invalid_request)\n"
    assert (folder / "again.wav").exists()
    as_json = await fleet("voice", "question.wav", "--json")
    assert (as_json.code, as_json.json["error_type"]) == (1, "invalid_request")


async def test_an_answer_without_the_speech_asked_for_fails(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    async def mute(request: VoiceRequest, _: Context) -> VoiceResponse:
        return VoiceResponse(request_id=request.request_id, response="At six.")

    probe.answering = mute
    run = await fleet("voice", "question.wav", "-o", "answer.wav")
    assert run.code == 1
    assert "came without speech" in run.err
    assert not (folder / "answer.wav").exists()


async def test_without_a_sound_device_it_says_how_to_get_the_answer(fleet: Fleet, probe: VoiceProbe) -> None:
    probe.answering = answered
    run = await fleet("voice", "question.wav")
    assert run.code == 0
    assert run.err == "fleet: There is no sound device here that plays. Save the answer with -o FILE.wav.\n"
    assert (await fleet("voice", "question.wav", "--no-play")).err == ""


@pytest.mark.parametrize("answering", [answered, streamed])
async def test_with_a_sound_device_it_is_played(
    fleet: Fleet, probe: VoiceProbe, monkeypatch: pytest.MonkeyPatch, answering: object
) -> None:
    monkeypatch.setattr(sound, "BACKENDS", ("NULL",))
    probe.answering = answering
    run = await fleet("voice", "question.wav", *(["--stream"] if answering is streamed else []))
    assert (run.code, run.err) == (0, "")


async def test_what_cannot_be_asked(fleet: Fleet, folder: Path) -> None:
    (folder / "question.wav").write_bytes(QUESTION)
    nobody = await fleet("voice", "question.wav")
    assert nobody.code == 4
    assert nobody.err.startswith("fleet: No voice-assistant is listening on nats://127.0.0.1:")
    assert (await fleet("voice", "not-there.wav")).code == 2
    with (folder / "film.wav").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    film = await fleet("voice", "film.wav")
    assert (film.code, film.err) == (2, "fleet: film.wav is larger than 64 MiB.\n")


async def test_interrupting_cancels_the_answer(spawn: Spawn, probe: VoiceProbe) -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def forever(_: VoiceRequest, __: Context) -> VoiceResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return VoiceResponse()

    probe.answering = forever
    process = await spawn("voice", "question.wav", "--no-play")
    await asyncio.wait_for(started.wait(), 10)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
    assert cancelled.is_set()
    assert err == b"fleet: The answer was cancelled.\n"
