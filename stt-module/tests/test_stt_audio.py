"""Audio of every kind, good and bad: transcribed, or a typed error that disturbs nobody else."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from handler_base.messages import STTStreamMessage, encode
from handler_base.messages.subjects import STT_STREAM
from handler_base.testing.inference import FakeSTT
from handler_base.testing.stt_caller import HeardSession, SttCaller

from .sounds import encoded, noise, vowels, wav

ROOM = noise(0.8, level=30)
TALK = ROOM + vowels(1.2) + ROOM


def stretched(samples: bytes) -> bytes:
    """The same at 48 kHz in two channels, as plain repetition."""
    return b"".join(samples[at : at + 2] * 6 for at in range(0, len(samples), 2))


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(1_000_000))
    return file.getvalue() * 4


GOOD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "raw": (TALK, {}),
    "raw, named": (TALK, {"audio_encoding": 1, "sample_rate": 16_000, "channels": 1, "bit_depth": 16}),
    "raw 48 kHz stereo": (stretched(TALK), {"sample_rate": 48_000, "channels": 2}),
    "wav": (wav(TALK), {"audio_encoding": 2}),
    "wav, unnamed": (wav(TALK), {}),
    "webm": (encoded(TALK, "webm"), {"audio_encoding": 3}),
    "webm, unnamed": (encoded(TALK, "webm"), {}),
    "ogg": (encoded(TALK, "ogg"), {"audio_encoding": 3}),
    "mp3": (encoded(TALK, "mp3"), {"audio_encoding": 4}),
}
DAMAGED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "a zip renamed to wav": (zipped(), {"audio_encoding": 2}, "unsupported_format"),
    "a wrong header": (b"RIFX" + wav(TALK)[4:], {"audio_encoding": 2}, "unsupported_format"),
    "text": (b"hello hello hello hello " * 100, {"audio_encoding": 3}, "unsupported_format"),
    "a wav without samples": (wav(b"")[:36] + b"junk" * 2000, {"audio_encoding": 2}, "invalid_request"),
    "webm that breaks off into noise": (
        encoded(TALK, "webm")[:300] + b"\xff" * 60_000,
        {"audio_encoding": 3},
        "invalid_request",
    ),
    "an unknown encoding": (TALK, {"audio_encoding": 9}, "unsupported_format"),
    "seven bits": (TALK, {"bit_depth": 7}, "unsupported_format"),
    "a rate of one": (TALK, {"sample_rate": 1}, "invalid_request"),
}


def assert_transcribed(heard: HeardSession, server: FakeSTT) -> None:
    assert [final.transcript for final in heard.finals] == ["What is NATS?"]
    assert 1000 < heard.finals[0].audio_ms < 2200
    assert heard.errors == []
    sent = server.requests[-1].form["file"]
    assert sent[:4] == b"RIFF"
    assert int.from_bytes(sent[24:28], "little") == 16_000


@pytest.mark.parametrize(("kind", "step"), [*((kind, 1000) for kind in GOOD), ("webm", 20_000), ("wav", 20_000)])
async def test_it_is_transcribed(stt: SttCaller, server: FakeSTT, kind: str, step: int) -> None:
    audio, values = GOOD[kind]
    # Six times as much comes at the pace of its being taken.
    many = 6 if "48" in kind else 1
    assert_transcribed(await stt.say(audio, step=step * many, pace=0.01 * (many > 1), **values), server)


@pytest.mark.parametrize("kind", DAMAGED)
async def test_bad_audio_is_an_error_and_others_go_on(stt: SttCaller, server: FakeSTT, kind: str) -> None:
    neighbour = await stt.hear()
    await stt.send(neighbour, "start")
    number = await stt.speak(neighbour, TALK[:40_000])
    audio, values, error = DAMAGED[kind]
    heard = await stt.hear()
    await stt.send(heard, "start", **values)
    await stt.speak(heard, audio, step=2000)
    await stt.send(heard, "end")
    await heard.until(lambda heard: heard.errors)
    await stt.speak(neighbour, TALK[40_000:], first=number)
    await stt.send(neighbour, "end")
    assert_transcribed(await neighbour.ended(), server)
    assert set(heard.errors) == {error}
    # One error, not one for each chunk of it.
    assert len(heard.errors) <= 2
    assert heard.finals == []


async def test_audio_that_is_cut_off_is_transcribed_as_far_as_it_goes(stt: SttCaller) -> None:
    for container in ("webm", "ogg", "mp3"):
        audio = encoded(TALK + TALK, container)
        heard = await stt.say(audio[: len(audio) * 3 // 4], step=500)
        assert heard.finals[0].transcript == "What is NATS?"


async def test_an_empty_chunk_is_an_error_and_the_session_goes_on(stt: SttCaller, server: FakeSTT) -> None:
    heard = await stt.hear()
    await stt.send(heard, "start")
    await stt.send(heard, "chunk", audio=b"")
    await heard.until(lambda heard: heard.errors)
    await stt.speak(heard, TALK)
    await stt.send(heard, "end")
    await heard.ended()
    assert (heard.errors, heard.codes) == (["invalid_request"], ["400"])
    assert [final.transcript for final in heard.finals] == ["What is NATS?"]


async def test_a_session_without_a_word_ends_with_what_was_heard(stt: SttCaller, server: FakeSTT) -> None:
    heard = await stt.say(ROOM + ROOM)
    assert (heard.finals, heard.partials, heard.errors) == ([], [], [])
    assert heard.told[-1].audio_ms == pytest.approx(1600, abs=64)
    assert server.requests == []


async def test_twenty_minutes_in_one_go_take_bounded_memory(stt: SttCaller) -> None:
    """Nobody speaks like that: what is too much is refused, and the session is usable."""
    heard = await stt.hear()
    await stt.send(heard, "start")
    piece = encode(STTStreamMessage(type="chunk", audio=vowels(1.0) * 10))
    for _ in range(120):
        await stt.client.publish(STT_STREAM.format(session_id=heard.session_id), piece)
    await heard.until(lambda heard: "overloaded" in heard.errors)
    await stt.send(heard, "end")
    await heard.ended()
    assert set(heard.errors) == {"overloaded"}
    assert len(heard.errors) < 120


async def test_a_compressed_chunk_that_becomes_an_hour_is_refused(stt: SttCaller) -> None:
    heard = await stt.hear()
    await stt.send(heard, "start", audio_encoding=4)
    await stt.send(heard, "chunk", audio=encoded(bytes(32_000 * 60), "mp3", rate=16_000))
    await heard.ended()
    assert heard.errors == ["payload_too_large"]


async def test_what_comes_twice_is_left_out_and_what_is_missing_is_counted(stt: SttCaller) -> None:
    heard = await stt.hear()
    await stt.send(heard, "start")
    for number, at in enumerate(range(0, len(TALK), 3200), start=1):
        for _ in range(2):
            await stt.send(heard, "chunk", audio=TALK[at : at + 3200], sequence=number)
    await stt.send(heard, "end")
    await heard.ended()
    assert heard.told[-1].audio_ms == pytest.approx(len(TALK) // 32, abs=64)
