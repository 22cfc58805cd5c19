"""Speech over HTTP, in OpenAI's shape: real sound, the first of it early, a typed error for what cannot be spoken."""

from __future__ import annotations

import asyncio
import io
import struct
import time
import wave

import aiohttp
import pytest

from deploy.local.inference.server import ServerOptions
from deploy.local.inference.speech_engines import Speaker, Speech, find_espeak, find_flite
from deploy.tests.local.conftest import InferenceServer
from handler_base.errors import InternalError
from handler_base.testing.waiting import wait_until

PATH = "/v1/audio/speech"
TEXT = "The pump of the East Well draws forty-six litres a minute."
LONG = " ".join(f"{TEXT[:-1]} in month number {month}." for month in ("one", "two", "three", "four", "five", "six") * 2)


@pytest.fixture
def server_options(speaker: Speaker) -> ServerOptions:
    return ServerOptions(words_per_second=0, workers=1, speaker=speaker)


async def _speak(server: InferenceServer, **body: object) -> tuple[str, bytes]:
    async with server.session.post(server.url + PATH, json={"input": TEXT, "model": "tts-1", **body}) as response:
        assert response.status == 200
        return response.headers["Content-Type"], await response.read()


def _samples(file: bytes) -> tuple[int, bytes]:
    with wave.open(io.BytesIO(file)) as opened:
        assert (opened.getnchannels(), opened.getsampwidth()) == (1, 2)
        return opened.getframerate(), opened.readframes(opened.getnframes())


def _loudness(samples: bytes) -> float:
    numbers = struct.unpack(f"<{len(samples) // 2}h", samples)
    return max(map(abs, numbers), default=0)


def _alike(left: bytes, right: bytes) -> bool:
    """Compare two recordings; espeak-ng never says a thing twice in quite the same way."""
    return len(left) == len(right) and abs(_loudness(left) - _loudness(right)) < 2000


async def test_a_sentence_is_a_wav_file_that_tells_its_size(inference: InferenceServer) -> None:
    kind, file = await _speak(inference, voice="alloy", response_format="wav")
    rate, samples = _samples(file)

    assert kind == "audio/wav"
    assert struct.unpack_from("<I", file, 4)[0] == len(file) - 8
    assert 2.0 < len(samples) / 2 / rate < 8.0
    assert _loudness(samples) > 3000


async def test_raw_samples_are_those_of_the_file(inference: InferenceServer) -> None:
    _, file = await _speak(inference, response_format="wav")
    kind, raw = await _speak(inference, response_format="pcm")
    rate, samples = _samples(file)

    assert kind == f"audio/pcm;rate={rate};channels=1"
    assert len(raw) == len(samples)
    assert _alike(raw, samples)


@pytest.mark.parametrize(
    ("name", "kind", "begin"),
    [
        ("mp3", "audio/mpeg", (b"ID3", b"\xff")),
        ("opus", "audio/ogg", (b"OggS",)),
        ("flac", "audio/flac", (b"fLaC",)),
        ("aac", "audio/aac", (b"\xff",)),
    ],
)
async def test_other_formats(inference: InferenceServer, name: str, kind: str, begin: tuple[bytes, ...]) -> None:
    pytest.importorskip("av", reason="PyAV cannot be had here")
    said, file = await _speak(inference, input=LONG[:300], response_format=name)

    assert said == kind
    assert file.startswith(begin)
    assert len(file) > 4000


async def test_mp3_is_what_comes_when_nothing_is_said(inference: InferenceServer) -> None:
    pytest.importorskip("av", reason="PyAV cannot be had here")
    assert (await _speak(inference))[0] == "audio/mpeg"


async def test_a_long_text_begins_to_sound_before_all_of_it_is_spoken(inference: InferenceServer) -> None:
    body = {"input": LONG, "voice": "default", "response_format": "wav"}
    begun = time.perf_counter()
    async with inference.session.post(inference.url + PATH, json=body) as response:
        first = await response.content.readany()
        early = time.perf_counter() - begun
        whole = first + await response.content.read()
    late = time.perf_counter() - begun
    rate, samples = _samples(whole)

    assert response.headers["Transfer-Encoding"] == "chunked"
    assert early < late / 2
    assert len(samples) / 2 / rate > 30
    assert struct.unpack_from("<I", whole, 4)[0] == 0xFFFFFFFF


async def test_a_long_text_in_one_piece_is_the_same(inference: InferenceServer) -> None:
    _, streamed = await _speak(inference, input=LONG, response_format="wav")
    _, whole = await _speak(inference, input=LONG, response_format="wav", stream=False)

    assert struct.unpack_from("<I", whole, 4)[0] == len(whole) - 8
    assert _alike(_samples(streamed)[1], _samples(whole)[1])


async def test_speed_and_voice_make_a_difference(inference: InferenceServer) -> None:
    _, listed = await inference.get("/v1/audio/voices")
    lengths = {}
    for speed in (0.5, 1.0, 2.0):
        lengths[speed] = len((await _speak(inference, response_format="pcm", speed=speed))[1])
    spoken = {(await _speak(inference, response_format="pcm", voice=voice["id"]))[1] for voice in listed["voices"]}

    assert lengths[0.5] > 1.4 * lengths[1.0] > 1.4 * 1.4 * lengths[2.0]
    assert len(spoken) == len(listed["voices"])
    assert listed["default"] == listed["voices"][0]["id"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "?!",
            "-h",
            "-o /tmp/x",
            "\u4f60\u597d",
            "caf\u00e9 \u201cH\u00fcte\u201d \u2013 20 \u20ac",
            "a\u0000b\ud800c",
        ),
        *("x" * 300, "<speak>&amp;</speak>", "$(id) `id` %s %n", "9" * 100),
    ],
)
async def test_odd_text_is_spoken_or_passed_over(inference: InferenceServer, text: str) -> None:
    _, raw = await _speak(inference, input=text, response_format="pcm")

    assert len(raw) % 2 == 0
    assert (await inference.get("/health"))[1]["failures"] == 0


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": 7}, 400, "input"),
        ({"input": "x" * 20_000}, 413, "input"),
        ({"voice": "nobody"}, 400, "voice"),
        ({"voice": ["alloy"]}, 400, "voice"),
        ({"response_format": "midi"}, 400, "response_format"),
        ({"stream_format": "sse"}, 400, "stream_format"),
        ({"speed": 9}, 400, "speed"),
        ({"speed": True}, 400, "speed"),
        ({"speed": float("nan")}, 400, "speed"),
        ({"stream": "yes"}, 400, "stream"),
    ],
)
async def test_what_cannot_be_spoken_is_told(
    inference: InferenceServer, change: dict[str, object], status: int, told: str
) -> None:
    got, answer = await inference.post(PATH, {"input": TEXT, "response_format": "pcm", **change})

    assert got == status
    assert answer["error"]["type"] in {"invalid_request", "payload_too_large"}
    assert f"`{told}`" in answer["error"]["message"]


async def test_many_at_once_and_one_that_goes_away(inference: InferenceServer, speaker: Speaker) -> None:
    body = {"input": LONG * 8, "response_format": "wav"}
    response = await inference.session.post(inference.url + PATH, json=body)
    response.close()
    timeout = aiohttp.ClientTimeout(total=0.05)
    with pytest.raises(TimeoutError):
        await inference.session.post(inference.url + PATH, json={**body, "stream": False}, timeout=timeout)
    spoken = await asyncio.gather(*(_speak(inference, response_format="pcm") for _ in range(12)))

    assert len({len(raw) for _, raw in spoken}) == 1
    await wait_until(lambda: speaker.waiting == 0)


@pytest.mark.parametrize("streamed", [True, False])
async def test_speech_that_breaks_off_is_no_whole_answer(
    inference: InferenceServer, speaker: Speaker, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    say = speaker.say

    async def fail_later(text: str, *, voice: str, speed: float) -> Speech:
        if "number four" in text:
            raise InternalError
        return await say(text, voice=voice, speed=speed)

    monkeypatch.setattr(speaker, "say", fail_later)
    body = {"input": LONG, "response_format": "wav", "stream": streamed}
    if streamed:
        with pytest.raises(aiohttp.ClientPayloadError):
            await _speak(inference, **body)
    else:
        assert (await inference.post(PATH, body))[0] == 500


async def test_each_speaker_says_who_it_is_and_speaks() -> None:
    for speaker in (find_flite(), find_espeak()):
        if speaker is None:
            continue
        spoken = [await speaker.say(TEXT, voice=voice, speed=1.0) for voice in speaker.voices]
        assert speaker.name in {"flite", "espeak-ng"}
        assert all(_loudness(part.samples) > 3000 for part in spoken)


@pytest.mark.parametrize("speaker", [None])
async def test_without_a_speaker_it_is_said(inference: InferenceServer) -> None:
    status, answer = await inference.post(PATH, {"input": TEXT})

    assert (status, answer["error"]["type"]) == (503, "upstream_unavailable")
    assert (await inference.get("/health"))[1]["models"]["speech"] is None
