"""Custom voices come and go without a restart; recordings become voices once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from handler_base.handler import Service
from handler_base.messages import Encoding, TTSRequest, TTSVoiceListResponse, TTSVoiceRefreshResponse, decode, encode
from handler_base.testing.inference import FakeTTS, status, wav_file
from handler_base.testing.tts_caller import TtsCaller
from handler_base.testing.waiting import wait_until

StartTts = Callable[..., Awaitable[Service]]

WAV = wav_file(b"\x01\x00" * 800, 16_000)
OTHER = wav_file(b"\x02\x00" * 800, 16_000)


@pytest.fixture
async def xtts() -> AsyncIterator[FakeTTS]:
    async with FakeTTS(dialect="xtts") as running:
        yield running


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    add(tmp_path, "carol", WAV, language="de", model_type="xtts", created_at="2026-01-02T03:04:05Z")
    return tmp_path


def add(directory: Path, name: str, wav: bytes | None, **described: str) -> Path:
    place = directory / name
    place.mkdir(exist_ok=True)
    if wav is not None:
        (place / "reference.wav").write_bytes(wav)
    if described:
        (place / "voice.json").write_text(json.dumps(described))
    return place


async def listed(caller: TtsCaller) -> TTSVoiceListResponse:
    return decode(TTSVoiceListResponse, (await caller.request("ai.voice.tts.voices.list")).data)


async def refreshed(caller: TtsCaller) -> TTSVoiceRefreshResponse:
    return decode(TTSVoiceRefreshResponse, (await caller.request("ai.voice.tts.voices.refresh")).data)


def made(server: FakeTTS) -> int:
    """How many voices the server made of recordings."""
    return sum(request.path == "/clone_speaker" for request in server.requests)


def embeddings(server: FakeTTS) -> list[float]:
    """The first number of the conditioning of each speech; 99 is that of a recording."""
    return [request.json["speaker_embedding"][0] for request in server.requests if request.path == "/tts_stream"]


async def test_the_list_has_both_kinds(start: StartTts, caller: TtsCaller, voices: Path) -> None:
    await start(voices_dir=str(voices), tts_voice="ben")
    answer = await listed(caller)
    assert answer.default_speaker == "ben"
    assert answer.speakers == ["anna", "ben"]
    (carol,) = answer.custom_voices
    assert (carol.name, carol.language, carol.model_type) == ("carol", "de", "xtts")
    assert carol.created_at == "2026-01-02T03:04:05Z"
    assert answer.timestamp >= answer.last_refresh > 0


async def test_the_list_needs_no_speech_server(
    start: StartTts, caller: TtsCaller, voices: Path, server: FakeTTS
) -> None:
    server.script.always = status(500)
    await start(voices_dir=str(voices))
    answer = await listed(caller)
    assert ([voice.name for voice in answer.custom_voices], answer.speakers) == (["carol"], [])


@pytest.mark.parametrize("encoding", Encoding)
async def test_the_list_is_in_the_encoding_of_the_question(tts: TtsCaller, encoding: Encoding) -> None:
    body = encode(TTSVoiceListResponse(), encoding)
    answer = await tts.request("ai.voice.tts.voices.list", body)
    assert (answer.headers or {})["Content-Type"] == encoding.value
    assert decode(TTSVoiceListResponse, answer.data, encoding).speakers == ["anna", "ben"]


async def test_a_refresh_finds_what_came_and_went(start: StartTts, caller: TtsCaller, voices: Path) -> None:
    await start(voices_dir=str(voices), voices_refresh=0)
    add(voices, "dave", OTHER)
    shutil.rmtree(voices / "carol")
    assert [voice.name for voice in (await listed(caller)).custom_voices] == ["carol"]
    answer = await refreshed(caller)
    assert (answer.count, [voice.name for voice in answer.custom_voices]) == (1, ["dave"])
    assert answer.custom_voices[0].model_type == "recording"
    assert answer.custom_voices[0].created_at.endswith("Z")
    assert [voice.name for voice in (await listed(caller)).custom_voices] == ["dave"]


async def test_a_refresh_reaches_every_replica(start: StartTts, caller: TtsCaller, voices: Path) -> None:
    for _ in range(3):
        await start(voices_dir=str(voices), voices_refresh=0)
    add(voices, "dave", OTHER)
    await refreshed(caller)

    async def all_know() -> bool:
        answers = await asyncio.gather(*(listed(caller) for _ in range(12)))
        return all(len(answer.custom_voices) == 2 for answer in answers)

    await wait_until(all_know)


async def test_voices_are_looked_for_every_so_often(start: StartTts, caller: TtsCaller, voices: Path) -> None:
    await start(voices_dir=str(voices), voices_refresh=0.05)
    add(voices, "dave", OTHER)

    async def known() -> bool:
        return len((await listed(caller)).custom_voices) == 2

    await wait_until(known)


async def test_what_is_no_voice_is_passed_over(start: StartTts, caller: TtsCaller, voices: Path) -> None:
    (voices / "readme.txt").write_text("not a directory")
    (voices / "empty").mkdir()
    add(voices, ".hidden", WAV)
    add(voices, "a..b", WAV)
    broken = add(voices, "broken", WAV)
    (broken / "voice.json").write_text("{")
    add(voices, "model", None, language="fr")
    await start(voices_dir=str(voices))
    found = {voice.name: voice.model_type for voice in (await listed(caller)).custom_voices}
    assert found == {"broken": "recording", "carol": "xtts", "model": "model"}


async def test_a_directory_that_is_missing_is_no_voices(start: StartTts, caller: TtsCaller, tmp_path: Path) -> None:
    await start(voices_dir=str(tmp_path / "later"), voices_refresh=0)
    assert (await refreshed(caller)).count == 0
    (tmp_path / "later").mkdir()
    add(tmp_path / "later", "carol", WAV)
    assert (await refreshed(caller)).count == 1


async def test_a_custom_voice_is_conditioned_once(
    start: StartTts, caller: TtsCaller, voices: Path, xtts: FakeTTS
) -> None:
    await start(voices_dir=str(voices), tts_url=xtts.url)
    for _ in range(3):
        assert (await caller.say("Hello there. And a second sentence here.", speaker="carol")).said[-1] == "completed"
    assert made(xtts) == 1
    assert set(embeddings(xtts)) == {99.0}
    assert (await listed(caller)).speakers == ["anna", "ben"]


async def test_a_recording_that_changed_is_conditioned_again(
    start: StartTts, caller: TtsCaller, voices: Path, xtts: FakeTTS
) -> None:
    await start(voices_dir=str(voices), tts_url=xtts.url)
    await caller.say("Hello there.", speaker="carol")
    file = voices / "carol" / "reference.wav"
    file.write_bytes(OTHER)
    os.utime(file, ns=(1, 1))
    await refreshed(caller)
    await caller.say("Hello there.", speaker="carol")
    assert [request.form["wav_file"] for request in xtts.requests if request.path == "/clone_speaker"] == [WAV, OTHER]


async def test_a_server_that_makes_no_voices_is_asked_by_name(
    start: StartTts, caller: TtsCaller, voices: Path, server: FakeTTS
) -> None:
    await start(voices_dir=str(voices))
    for _ in range(2):
        assert (await caller.say("Hello there.", speaker="carol")).said[-1] == "completed"
    spoken = [request for request in server.requests if request.path == "/v1/audio/speech"]
    assert [request.json["voice"] for request in spoken] == ["carol", "carol"]
    assert made(server) == 1


async def test_a_voice_of_the_server_by_name(start: StartTts, caller: TtsCaller, xtts: FakeTTS) -> None:
    await start(tts_url=xtts.url)
    await caller.say("Hello there.", speaker="ben")
    assert embeddings(xtts) == [1.0]
    heard = await caller.say("Hello there.", speaker="nobody")
    assert (heard.said[-1], heard.codes[-1]) == ("error", "404")


@pytest.mark.parametrize(("speaker", "code"), [("nobody", "404"), ("anna", "502"), ("", "502")])
async def test_a_refusal_of_a_voice_that_is_not_listed_is_told_as_such(
    tts: TtsCaller, server: FakeTTS, speaker: str, code: str
) -> None:
    server.script.failures = [status(400)]
    heard = await tts.say("Hello there.", speaker=speaker)
    assert (heard.said[-1], heard.codes[-1]) == ("error", code)


async def test_a_voice_that_is_not_listed_may_be_known(tts: TtsCaller, server: FakeTTS) -> None:
    assert (await tts.say("Hello there.", speaker="anna(2)+ben(1)")).said[-1] == "completed"


async def test_a_recording_in_the_request_is_conditioned_once(
    start: StartTts, caller: TtsCaller, xtts: FakeTTS
) -> None:
    await start(tts_url=xtts.url)
    recording = base64.b64encode(WAV).decode()
    sessions = [await caller.hear() for _ in range(4)]
    for heard in sessions:
        await caller.ask(heard, TTSRequest(text="Hello there.", speaker_wav_b64=recording))
    await asyncio.gather(*(heard.ended() for heard in sessions))
    await caller.say("Hello there.", speaker_wav_b64=f"data:audio/wav;base64,{recording}")
    assert made(xtts) == 1
    assert embeddings(xtts) == [99.0] * 5


async def test_only_so_many_recordings_are_kept(start: StartTts, caller: TtsCaller, xtts: FakeTTS) -> None:
    await start(tts_url=xtts.url, voices_cloned=2)
    for number in (1, 2, 3, 3, 2, 1):
        recording = base64.b64encode(wav_file(bytes([number, 0]) * 800, 16_000)).decode()
        heard = await caller.say("Hello there.", speaker_wav_b64=recording)
        assert heard.said[-1] == "completed"
    assert made(xtts) == 4


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        ("!!!", "400"),
        ("AAA", "400"),
        (base64.b64encode(b"PK\x03\x04" + bytes(100)).decode(), "415"),
        (base64.b64encode(WAV[:44]).decode(), "400"),
        (base64.b64encode(WAV[:-100]).decode(), "400"),
        (base64.b64encode(wav_file(b"", 16_000)).decode(), "415"),
        (base64.b64encode(WAV[:20]).decode(), "415"),
        (base64.b64encode(WAV[:22] + b"\0\0" + WAV[24:]).decode(), "415"),
        (base64.b64encode(b"RIFF\0\0\0\0AVI " + WAV[12:]).decode(), "415"),
        (base64.b64encode(WAV).decode(), "502"),
    ],
)
async def test_a_recording_that_makes_no_voice_is_an_error(tts: TtsCaller, recording: str, code: str) -> None:
    # The last: the server of this test cannot make voices at all.
    heard = await tts.say("Hello there.", speaker_wav_b64=recording)
    assert (heard.said[-1], heard.codes[-1]) == ("error", code)


async def test_a_recording_that_failed_is_tried_again(start: StartTts, caller: TtsCaller, xtts: FakeTTS) -> None:
    await start(tts_url=xtts.url)
    recording = base64.b64encode(WAV).decode()
    xtts.script.failures = [status(400)]
    assert (await caller.say("Hello there.", speaker_wav_b64=recording)).said[-1] == "error"
    assert (await caller.say("Hello there.", speaker_wav_b64=recording)).said[-1] == "completed"
