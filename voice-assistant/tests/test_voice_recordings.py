"""Recordings that are none, or say nothing: a typed error, in no time, and a word to the user where it helps."""

from __future__ import annotations

import contextlib
import io
import time
import zipfile

import nats as nats_py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError, UnsupportedFormatError
from handler_base.messages import VoiceRequest
from handler_base.messages.domain import AudioFormat
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS, status, wav_file
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.voice_caller import VoiceCaller
from voice_assistant.answers import not_heard
from voice_assistant.recordings import NothingHeardError, check_recording, check_speech, transcript_of

WAV = wav_file(b"\x01\x00" * 16_000, 16_000)
SILENT = [b"", wav_file(b"", 16_000)]


def zip_file() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("question.wav", WAV)
    return target.getvalue()


NO_RECORDINGS = {
    "a zip": zip_file(),
    "text": b"What is NATS?",
    "half a header": WAV[:20],
    "no format": WAV[:12] + WAV[36:],
    "no channels": WAV[:22] + b"\0\0" + WAV[24:],
    "no rate": WAV[:24] + b"\0\0\0\0" + WAV[28:],
    "another RIFF": b"RIFF\0\0\0\0AVI " + WAV[12:],
    "a picture": b"\xff\xd8\xff\xe0" + bytes(100),
    "one byte": b"\xff",
}


@pytest.mark.parametrize(
    ("audio", "found"),
    [
        (WAV, AudioFormat.WAV),
        (wav_file(b"\0\0", 8000, streamed=True), AudioFormat.WAV),
        (WAV[:36] + b"LIST\x03\0\0\0abc\0" + WAV[36:], AudioFormat.WAV),
        (b"\x1a\x45\xdf\xa3 and so on", AudioFormat.WEBM),
        (b"ID3\x04 and so on", AudioFormat.MP3),
        (b"\xff\xfb\x90\x64", AudioFormat.MP3),
        (b"\xff\xf3\x40\xc4", AudioFormat.MP3),
    ],
)
@pytest.mark.parametrize("named", ["wav", "MP3"])
def test_a_recording_is_what_its_first_bytes_say(audio: bytes, found: AudioFormat, named: str) -> None:
    assert check_recording(audio, named) is found


@pytest.mark.parametrize("audio", NO_RECORDINGS.values(), ids=NO_RECORDINGS)
def test_what_is_no_recording_is_refused(audio: bytes) -> None:
    with pytest.raises(UnsupportedFormatError):
        check_recording(audio, "wav")


@pytest.mark.parametrize("there", [44, 60, len(WAV) - 9])
def test_a_recording_that_lost_its_end_is_not_half_answered(there: int) -> None:
    audio = check_speech(WAV[:there])
    with pytest.raises(InvalidRequestError, match="cut off"):
        check_recording(audio, "wav")


def test_other_formats_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedFormatError):
        check_recording(WAV, "aiff")


@pytest.mark.parametrize("audio", SILENT, ids=len)
def test_a_recording_without_samples_says_nothing(audio: bytes) -> None:
    with pytest.raises(NothingHeardError):
        check_speech(audio)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_a_recording_or_a_typed_error(noise: bytes, kept: int) -> None:
    for audio in (noise, WAV[:kept] + noise):
        with contextlib.suppress(InvalidRequestError, UnsupportedFormatError):
            assert check_recording(check_speech(audio), "wav") in AudioFormat


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "...",
        "[BLANK_AUDIO]",
        "(wind blowing)",
        "[ Silence ] .",
        "*sighs*",
        "<|nospeech|>",
        "\u266a (music) \u266a",
    ],
)
def test_a_transcript_of_noise_says_nothing(text: str) -> None:
    with pytest.raises(NothingHeardError):
        transcript_of(text)


@pytest.mark.parametrize("text", [" Hello. ", "(coughs) What is NATS?", "42", "\u4f60\u597d", "Yes [inaudible]"])
def test_a_transcript_with_words_stays(text: str) -> None:
    assert transcript_of(text) == text.strip()


def question(audio: bytes, **values: object) -> VoiceRequest:
    request = VoiceRequest(audio=audio, enable_rag=False)
    for name, value in values.items():
        setattr(request, name, value)
    return request


@pytest.mark.parametrize("audio", NO_RECORDINGS.values(), ids=NO_RECORDINGS)
async def test_what_is_no_recording_is_answered_at_once(voice: VoiceCaller, stt: FakeSTT, audio: bytes) -> None:
    heard = await voice.ask(question(audio))
    assert (heard.error_code, heard.answer.audio) == ("415", b"")
    assert heard.answer.error
    assert stt.requests == []


@pytest.mark.parametrize("audio", SILENT, ids=len)
async def test_silence_is_answered_aloud(
    voice: VoiceCaller, stt: FakeSTT, tts: FakeTTS, llm: FakeLLM, audio: bytes
) -> None:
    heard = await voice.ask(question(audio, request_id="q1", session_id="s1"))
    answer = heard.answer
    assert (heard.error_code, answer.error) == ("400", "No speech was found in the audio.")
    assert (answer.request_id, answer.session_id, answer.transcription) == ("q1", "s1", "")
    assert answer.response == "I did not hear anything. Please say it again."
    assert (answer.audio, answer.audio_format) == (wav_file(tts.pcm, 24_000), "wav")
    assert [request.json["input"] for request in tts.requests] == [answer.response]
    assert stt.requests == llm.requests == []


async def test_an_unintelligible_recording_is_answered_aloud(
    voice: VoiceCaller, stt: FakeSTT, tts: FakeTTS, llm: FakeLLM
) -> None:
    stt.script.pieces = ("[BLANK_AUDIO]",)
    heard = await voice.ask(question(WAV, language="de", enable_streaming=True))
    assert (heard.error_code, heard.answer.response) == ("400", not_heard("de"))
    assert heard.kinds == ["text", "audio", "error"]
    assert (heard.text, heard.sound) == (heard.answer.response, tts.pcm)
    assert heard.chunks[-1].error_type == "invalid_request"
    assert llm.requests == []


async def test_silence_is_answered_without_a_voice_too(voice: VoiceCaller, tts: FakeTTS) -> None:
    tts.script.always = status(500)
    heard = await voice.ask(question(b""))
    assert (heard.error_code, heard.answer.audio) == ("400", b"")
    assert heard.answer.response


async def test_silence_is_done_with_when_it_is_answered(voice: VoiceCaller) -> None:
    given_up = await voice.listen("ai.dlq.>")
    heard = await voice.put(question(b""))
    assert heard.error_code == "400"
    assert heard.answer.audio
    kept = await voice.put(question(b"no recording"))
    assert kept.error_code == "415"
    assert (await given_up.get()).data
    assert given_up.empty()


async def test_a_recording_the_server_refuses_is_its_error(voice: VoiceCaller, stt: FakeSTT) -> None:
    stt.script.always = status(400)
    assert (await voice.ask(question(b"ID3 but nothing behind it", format="mp3"))).error_code == "502"
    for code in (413, 415):
        stt.script.always = status(code)
        assert (await voice.ask(question(b"ID3 and twenty minutes of it", format="mp3"))).error_code == str(code)


async def test_a_recording_may_be_in_an_object_store(voice: VoiceCaller, nats: NatsServer, stt: FakeSTT) -> None:
    client = await nats_py.connect(nats.url)
    bucket = await client.jetstream().create_object_store("audio")
    long = wav_file(bytes(3_000_000), 16_000)
    await bucket.put("ann/q1.wav", long)
    await client.close()
    heard = await voice.ask(question(b"", audio_ref="audio/ann/q1.wav"))
    assert heard.answer.audio
    assert heard.answer.timings_ms["fetch"] > 0
    assert stt.requests[0].form["file"] == long
    for reference, code in (("audio/ann/q2", "404"), ("secrets/q1", "403"), ("audio", "400"), ("audio/", "400")):
        refused = await voice.ask(question(b"", audio_ref=reference))
        assert (refused.error_code, refused.answer.response) == (code, "")


async def test_bad_recordings_do_not_hold_up_their_neighbours(voice: VoiceCaller) -> None:
    bad = [await voice.begin(question(audio * 50_000)) for audio in (b"zip ", b"RIFF", b"\0") for _ in range(8)]
    began = time.perf_counter()
    good = await voice.ask(question(WAV))
    assert time.perf_counter() - began < 2
    assert good.answer.audio
    assert {(await asked.heard()).error_code for asked in bad} == {"415"}
