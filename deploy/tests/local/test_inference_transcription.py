"""Transcription over HTTP, in OpenAI's shape: text, none where nobody speaks, a typed error for no recording."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from typing import Any

import aiohttp
import numpy as np
import pytest

from deploy.local.inference.server import ServerOptions
from deploy.local.inference.speech_engines import Speaker
from deploy.local.inference.transcription_pool import Recognizer
from deploy.tests.local.conftest import Answer, InferenceServer
from handler_base.clients.audio import pcm_to_wav

PATH = "/v1/audio/transcriptions"
SAID = "When is the library open?"
WORDS = {"when", "is", "the", "library"}


@pytest.fixture
def server_options(speaker: Speaker, recognizer: Recognizer) -> ServerOptions:
    return ServerOptions(words_per_second=0, workers=1, speaker=speaker, recognizer=recognizer)


@pytest.fixture
async def samples(inference: InferenceServer, speaker: Speaker) -> bytes:
    """A spoken question, at 16 kHz."""
    del inference
    if speaker.name != "flite":
        pytest.skip("flite cannot be had here, and the recogniser does not understand espeak-ng")
    return (await speaker.say(SAID, voice=speaker.voices[0], speed=1.0)).samples


async def _send(server: InferenceServer, recording: bytes | None, **fields: str) -> tuple[int, str, bytes]:
    form = aiohttp.FormData(fields, default_to_multipart=True)
    if recording is not None:
        form.add_field("file", io.BytesIO(recording), filename="audio.wav", content_type="audio/wav")
    async with server.session.post(server.url + PATH, data=form) as response:
        return response.status, response.content_type, await response.read()


async def _transcribe(server: InferenceServer, recording: bytes | None, **fields: str) -> Answer:
    status, _, body = await _send(server, recording, model="whisper-1", **fields)
    return status, json.loads(body)


def _resampled(samples: bytes, rate: int) -> bytes:
    numbers = np.frombuffer(samples, dtype="<i2").astype(float)
    places = np.arange(0, len(numbers) - 1, 16_000 / rate)
    result: bytes = np.interp(places, np.arange(len(numbers)), numbers).astype("<i2").tobytes()
    return result


def _encoded(samples: bytes, container: str, codec: str, rate: int) -> bytes:
    av = pytest.importorskip("av", reason="PyAV cannot be had here")
    written = io.BytesIO()
    with av.open(written, mode="w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(samples, dtype="<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = 16_000
        for piece in av.AudioResampler("s16", "mono", rate).resample(frame):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return written.getvalue()


async def test_json_text_and_verbose_json(inference: InferenceServer, samples: bytes) -> None:
    recording = pcm_to_wav(samples, 16_000)
    status, plain = await _transcribe(inference, recording, language="en-US", prompt="x", temperature="0")
    _, kind, text = await _send(inference, recording, response_format="text")
    _, verbose = await _transcribe(inference, recording, response_format="verbose_json")

    assert status == 200
    assert set(plain["text"].split()) >= WORDS
    assert (kind, text.decode()) == ("text/plain", plain["text"] + "\n")
    assert verbose["text"] == plain["text"]
    assert verbose["duration"] == pytest.approx(len(samples) / 32_000, abs=0.01)
    assert [segment["text"] for segment in verbose["segments"]] == [plain["text"]]
    assert 0 <= verbose["segments"][0]["start"] < verbose["segments"][0]["end"] <= verbose["duration"]


async def test_a_stream_gives_each_piece_between_two_pauses(inference: InferenceServer, samples: bytes) -> None:
    pause = b"\0" * 48_000
    status, kind, body = await _send(inference, pcm_to_wav(samples + pause + samples, 16_000), stream="true")
    events: list[dict[str, Any]] = [json.loads(line[6:]) for line in body.decode().splitlines() if line]

    assert (status, kind) == (200, "text/event-stream")
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event["delta"] for event in events[:2]) == events[2]["text"]
    assert events[2]["text"].split().count("library") == 2


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
async def test_wav_of_other_rates(inference: InferenceServer, samples: bytes, rate: int) -> None:
    pytest.importorskip("av", reason="PyAV cannot be had here")
    _, answer = await _transcribe(inference, pcm_to_wav(_resampled(samples, rate), rate))

    assert "library" in answer["text"]


async def test_stereo(inference: InferenceServer, samples: bytes) -> None:
    both = np.frombuffer(samples, dtype="<i2").repeat(2).tobytes()
    _, mono = await _transcribe(inference, pcm_to_wav(samples, 16_000))
    _, stereo = await _transcribe(inference, pcm_to_wav(both, 16_000, channels=2))

    assert stereo == mono


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("webm", "libopus", 48_000), ("mp3", "libmp3lame", 44_100), ("ogg", "libopus", 16_000), ("flac", "flac", 16_000)],
)
async def test_other_formats(inference: InferenceServer, samples: bytes, container: str, codec: str, rate: int) -> None:
    status, answer = await _transcribe(inference, _encoded(samples, container, codec, rate))

    assert status == 200
    assert "library" in answer["text"]


async def test_the_header_of_a_stream_and_a_file_cut_off(inference: InferenceServer, samples: bytes) -> None:
    recording = pcm_to_wav(samples, 16_000)
    stream = recording[:4] + b"\xff" * 4 + recording[8:40] + b"\xff" * 4 + recording[44:]
    whole = await _transcribe(inference, recording)

    assert await _transcribe(inference, stream) == whole
    assert (await _transcribe(inference, recording[:-1001]))[0] == 200


NOISE = np.random.default_rng(7).normal(0, 3000, 16_000).astype("<i2").tobytes()
TONE = (8000 * np.sin(np.arange(16_000) / 8)).astype("<i2").tobytes()


@pytest.mark.parametrize(
    "quiet",
    [b"", b"\0\0", b"\0" * 3200, b"\0" * 320_000, NOISE, TONE],
    ids=["none", "one", "short", "silence", "noise", "tone"],
)
async def test_where_nobody_speaks_there_is_no_text(inference: InferenceServer, quiet: bytes) -> None:
    status, answer = await _transcribe(inference, pcm_to_wav(quiet, 16_000))

    assert (status, answer["text"]) == (200, "")
    assert (await _send(inference, pcm_to_wav(quiet, 16_000), stream="true"))[2].startswith(b"data: ")


def _zip() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("a.txt", "no sound" * 100)
    return written.getvalue()


PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
BROKEN = {
    "nothing": b"",
    "text": b"hello there",
    "zip": _zip(),
    "no samples": b"RIFF\x24\0\0\0WAVEfmt ",
    "headless": b"RIFF\x24\0\0\0WAVEdata\x04\0\0\0abcd",
    "junk": bytes(range(256)) * 40,
    "playlist": PLAYLIST,
    "list of files": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "webm cut off": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
}


@pytest.mark.parametrize("recording", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("stream", ["", "true"])
async def test_a_broken_file_is_told(inference: InferenceServer, recording: bytes, stream: str) -> None:
    pytest.importorskip("av", reason="PyAV cannot be had here")
    status, answer = await _transcribe(inference, recording, stream=stream)

    assert (status, answer["error"]["type"]) == (400, "invalid_request")
    assert (await inference.get("/health"))[1]["failures"] == 0


async def test_what_is_too_long_or_too_large_is_told(inference: InferenceServer) -> None:
    long = await _transcribe(inference, pcm_to_wav(b"\0" * (61 * 32_000), 16_000))
    compressed = await _transcribe(inference, _encoded(b"\0" * (20 * 60 * 32_000), "webm", "libopus", 16_000))
    large = await _transcribe(inference, b"\0" * (26 * 1024 * 1024))

    assert [status for status, _ in (long, compressed, large)] == [413] * 3
    assert long[1]["error"] == compressed[1]["error"]
    assert "60 seconds" in long[1]["error"]["message"]


@pytest.mark.parametrize(("field", "value"), [("response_format", "srt"), ("language", "de")])
async def test_an_option_that_is_not_offered_is_refused(inference: InferenceServer, field: str, value: str) -> None:
    status, answer = await _transcribe(inference, pcm_to_wav(b"\0" * 320, 16_000), **{field: value})

    assert (status, answer["error"]["type"]) == (400, "invalid_request")
    assert f"`{field}`" in answer["error"]["message"]


async def test_a_form_without_a_file_and_no_form_at_all(inference: InferenceServer) -> None:
    without = await _transcribe(inference, None, language="en")
    no_form = await inference.post(PATH, {"file": "x"})
    async with inference.session.post(
        inference.url + PATH, data=b"--x\r\n\r\nhalf", headers={"Content-Type": "multipart/form-data; boundary=x"}
    ) as response:
        half = response.status, json.loads(await response.read())

    assert [status for status, _ in (without, no_form, half)] == [400] * 3
    assert all(answer["error"]["type"] == "invalid_request" for _, answer in (without, no_form, half))


async def test_the_server_answers_others_while_it_listens(inference: InferenceServer, samples: bytes) -> None:
    listening = [
        asyncio.create_task(_transcribe(inference, pcm_to_wav(samples, 16_000), language="en")) for _ in range(3)
    ]
    slowest = 0.0
    answered = 0
    while not all(task.done() for task in listening):
        begun = time.perf_counter()
        await inference.get("/health")
        slowest = max(slowest, time.perf_counter() - begun)
        answered += 1
    texts = {(await task)[1]["text"] for task in listening}

    assert len(texts) == 1
    assert answered > 10
    assert slowest < 0.25


@pytest.mark.parametrize("recognizer", [None])
async def test_without_a_recogniser_it_is_said(inference: InferenceServer) -> None:
    status, answer = await _transcribe(inference, b"RIFF")

    assert (status, answer["error"]["type"]) == (503, "upstream_unavailable")
