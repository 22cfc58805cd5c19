"""`fleet say`: a text spoken by the fleet."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_base.cli.voice import sound
from handler_base.clients.audio import pcm_to_wav
from handler_base.errors import UpstreamUnavailableError
from handler_base.handler import Context, Service
from handler_base.messages import Message, TTSAudioChunk, TTSFullResponse, TTSRequest, TTSStatus, encode
from handler_base.messages.subjects import TTS_AUDIO
from handler_base.nats_client import NatsConnection
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import probe_settings

from .conftest import Fleet, Spawn
from .voice_probe import VoiceProbe

RATE = 22_050
SOUND = b"\x05\x00" * 1102


@pytest.fixture
async def probe(own_nats: NatsServer, folder: Path) -> AsyncIterator[VoiceProbe]:
    handler = VoiceProbe(probe_settings(own_nats.url))
    handler.speaking = spoken
    service = Service(handler)
    await service.start()
    yield handler
    await service.stop()


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a sound device; this backend is for web browsers only."""
    monkeypatch.setattr(sound, "BACKENDS", ("WEBAUDIO",))


async def send(context: Context, message: Message) -> None:
    await context.publish(TTS_AUDIO.format(session_id=context.session_id), message)


async def spoken(request: TTSRequest, context: Context) -> TTSStatus:
    if not request.stream:
        await send(context, TTSFullResponse(audio=b"ID3 song", audio_encoding=4))
        return TTSStatus(status="completed")
    # As on a line that mixes them up: the number tells the order.
    for number, value in ((1, b"\x02\x00"), (0, b"\x01\x00"), (2, b"\x03\x00")):
        piece = TTSAudioChunk(chunk_index=number, audio=value * 1102, sample_rate=RATE, channels=1, is_last=number == 2)
        await send(context, piece)
    return TTSStatus(status="completed")


async def test_the_sound_is_saved_in_order_and_at_its_rate(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    run = await fleet("say", "The ferry leaves.", "-o", "ferry.wav", "--voice", "slt", "--language", "de")
    assert run.code == 0, run.err
    assert run.out.startswith("Saved ferry.wav, 0.1 s at 22050 Hz; the first sound came after ")
    expected = b"\x01\x00" * 1102 + b"\x02\x00" * 1102 + b"\x03\x00" * 1102
    assert (folder / "ferry.wav").read_bytes() == pcm_to_wav(expected, RATE)
    said = probe.said[0]
    assert (said.text, said.speaker, said.language, said.stream) == ("The ferry leaves.", "slt", "de", True)


async def test_the_standard_input_and_a_voice_to_speak_like(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    (folder / "ann.wav").write_bytes(pcm_to_wav(SOUND, RATE))
    run = await fleet("say", "-", "-o", "x.wav", "--like", "ann.wav", stdin="From a pipe.")
    assert run.code == 0, run.err
    assert probe.said[0].text == "From a pipe."
    assert base64.b64decode(probe.said[0].speaker_wav_b64) == pcm_to_wav(SOUND, RATE)


async def test_other_formats_come_in_one_piece(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    run = await fleet("say", "Hello.", "-o", "hello.mp3")
    assert run.out.startswith("Saved hello.mp3, after ")
    assert (folder / "hello.mp3").read_bytes() == b"ID3 song"
    assert (probe.said[0].stream, probe.said[0].format) == (False, "mp3")


async def test_json_is_one_object(fleet: Fleet, probe: VoiceProbe) -> None:
    told = (await fleet("say", "Hello.", "-o", "hello.wav", "--json")).json
    assert (told["audio_file"], told["sample_rate"], told["chunks"]) == ("hello.wav", RATE, 3)
    assert told["seconds"] == pytest.approx(0.15, abs=0.001)


async def test_it_is_played_where_there_is_a_sound_device(
    fleet: Fleet, probe: VoiceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "BACKENDS", ("NULL",))
    run = await fleet("say", "Hello.")
    assert run.code == 0, run.err
    assert run.out.startswith("Spoken, 0.1 s at 22050 Hz")


async def test_sound_has_to_go_somewhere(fleet: Fleet, probe: VoiceProbe) -> None:
    run = await fleet("say", "Hello.")
    assert (run.code, run.err) == (
        2,
        "fleet: There is no sound device here that plays. Save the speech with -o FILE.wav.\n",
    )
    assert (await fleet("say", "Hello.", "--no-play")).err == "fleet: Save the speech with -o FILE.wav.\n"
    assert probe.said == []
    assert (await fleet("say")).code == 2


async def test_voices_are_listed(fleet: Fleet, probe: VoiceProbe) -> None:
    run = await fleet("say", "--voices")
    assert run.code == 0
    assert run.out.count("ann") == 1
    assert "slt" in run.out
    names = [(voice["name"], voice["kind"]) for voice in (await fleet("say", "--voices", "--json")).json]
    assert names == [("ann", "custom"), ("rms", "built-in"), ("s\x1blt", "built-in")]


async def test_an_error_is_a_line_and_a_code(fleet: Fleet, probe: VoiceProbe, folder: Path) -> None:
    async def away(_: TTSRequest, __: Context) -> TTSStatus:
        raise UpstreamUnavailableError("A model server cannot be reached right now.")

    probe.speaking = away
    run = await fleet("say", "Hello.", "-o", "hello.wav")
    assert run.code == 1
    assert run.err == "fleet: A model server cannot be reached right now. (upstream_unavailable)\n"
    assert not (folder / "hello.wav").exists()
    as_json = await fleet("say", "Hello.", "-o", "hello.wav", "--json")
    assert (as_json.code, as_json.json["error_type"]) == (1, "upstream_unavailable")


async def test_nobody_listens(fleet: Fleet) -> None:
    run = await fleet("say", "Hello.", "-o", "hello.wav")
    assert run.code == 4
    assert run.err.startswith("fleet: No tts-module is listening on nats://127.0.0.1:")


async def test_interrupting_cancels_the_speech(spawn: Spawn, client: NatsConnection) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    def begin(subject: str, reply: str) -> None:
        client.send(subject.replace(".request.", ".audio."), encode(TTSAudioChunk(audio=SOUND, sample_rate=RATE)))
        asked.put_nowait(reply)

    await client.subscribe("ai.voice.tts.request.*", lambda msg: begin(msg.subject, msg.reply))
    cancels: asyncio.Queue[str] = asyncio.Queue()
    await client.subscribe("ai.voice.tts.cancel.*", lambda msg: cancels.put_nowait(msg.subject))
    await client.flush()
    process = await spawn("say", "Hello.", "-o", "hello.wav", "--no-play")
    reply = await asyncio.wait_for(asked.get(), 10)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(cancels.get(), 10)
    cancelled = {"Nats-Service-Error": "The request was cancelled.", "Nats-Service-Error-Code": "499"}
    await client.publish(reply, encode(TTSStatus(status="cancelled")), headers=cancelled)
    await client.flush()
    await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
