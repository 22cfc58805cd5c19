from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.clients import (
    HttpEndpoints,
    HttpPool,
    SpeechAudio,
    SpeechChunk,
    StreamTimeouts,
    STTClient,
    Transcription,
    TranscriptionPiece,
    TTSClient,
)
from handler_base.clients.audio import WavStream, media_format, pcm_rate, pcm_to_wav
from handler_base.clients.endpoint import HttpAnswer
from handler_base.clients.failures import AttemptError
from handler_base.clients.speech import SpeechQuestion, WavEventReader, speech_audio
from handler_base.clients.stt import TRANSCRIPTION_PATHS
from handler_base.clients.transcription import TranscriptionReader, read_transcription
from handler_base.clients.tts import SPEECH_PATHS
from handler_base.deadline import Deadline
from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    UnsupportedFormatError,
    UpstreamError,
)
from handler_base.testing.inference import (
    Failure,
    FailureKind,
    FakeSTT,
    FakeTTS,
    STTScript,
    TTSScript,
    error_in_stream,
    hang,
    reset,
    status,
    wav_file,
)
from handler_base.testing.waiting import wait_until

TTSName = Literal["openai", "xtts", "xtts-api", "coqui", "rayserve"]
TTS_NAMES: tuple[TTSName, ...] = ("openai", "xtts", "xtts-api", "coqui", "rayserve")
SETTINGS = {"xtts-api": "xtts"}
SPEECH = wav_file(b"\x00\x01" * 160, 16_000)


def stt(pool: HttpPool, server: FakeSTT, suffix: str = "", dialect: str = "auto") -> STTClient:
    http = HttpEndpoints("stt", server.url + suffix, pool=pool, known_paths=TRANSCRIPTION_PATHS)
    return STTClient(http, dialect=dialect, timeouts=StreamTimeouts(between=timedelta(seconds=0.1)))


def tts(
    pool: HttpPool, server: FakeTTS, suffix: str = "", dialect: str = "auto", sample_rate: int = 24_000
) -> TTSClient:
    http = HttpEndpoints("tts", server.url + suffix, pool=pool, known_paths=SPEECH_PATHS)
    timeouts = StreamTimeouts(between=timedelta(seconds=0.1))
    return TTSClient(http, dialect=dialect, sample_rate=sample_rate, timeouts=timeouts)


async def heard(stream: AsyncIterator[TranscriptionPiece]) -> list[TranscriptionPiece]:
    return [piece async for piece in stream]


async def spoken(stream: AsyncIterator[SpeechChunk]) -> tuple[bytes, set[int]]:
    chunks = [chunk async for chunk in stream]
    assert all(len(chunk.audio) % 2 == 0 for chunk in chunks)
    return b"".join(chunk.audio for chunk in chunks), {chunk.sample_rate for chunk in chunks}


class TestTranscription:
    @pytest.mark.parametrize("name", ["text", "transcript"])
    @pytest.mark.parametrize("dialect", ["openai", "whispercpp"])
    @pytest.mark.parametrize("suffix", ["", "/v1/", "/v1/audio/transcriptions"])
    async def test_speech_becomes_text(
        self, pool: HttpPool, dialect: Literal["openai", "whispercpp"], name: str, suffix: str
    ) -> None:
        async with FakeSTT(STTScript(field=name), dialect=dialect, prefix="/whisper") as server:
            client = stt(pool, server, suffix)
            deadline = Deadline.after(timedelta(seconds=10))
            result = await client.transcribe(SPEECH, language="en", prompt="NATS", deadline=deadline)
            assert result.text == "What is NATS?"
            request = server.requests[-1]
            assert request.form["file"] == SPEECH
            assert request.form["language"] == b"en"
            assert request.form["prompt"] == b"NATS"
            assert request.form["response_format"] == b"json"
            assert request.files["file"] == ("audio.wav", "audio/wav")
            asked = len(server.requests)
            await client.transcribe(SPEECH, deadline=deadline)
            assert len(server.requests) == asked + 1

    async def test_raw_samples_get_a_header(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeSTT() as server:
            pcm = b"\x00\x01" * 160
            await stt(pool, server).transcribe(pcm, audio_format="pcm", sample_rate=16_000, deadline=soon)
            assert server.requests[-1].form["file"] == SPEECH

    async def test_other_formats_are_named(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeSTT() as server:
            await stt(pool, server).transcribe(b"\x1a\x45", audio_format="webm", deadline=soon)
            assert server.requests[-1].files["file"] == ("audio.webm", "audio/webm")
            with pytest.raises(UnsupportedFormatError):
                await stt(pool, server).transcribe(b"x", audio_format="../etc", deadline=soon)

    @pytest.mark.parametrize(("code", "error"), [(413, PayloadTooLargeError), (415, UnsupportedFormatError)])
    async def test_a_recording_the_server_does_not_want_is_the_recordings_fault(
        self, pool: HttpPool, soon: Deadline, code: int, error: type[FleetError]
    ) -> None:
        async with FakeSTT(STTScript(always=status(code))) as server:
            with pytest.raises(error, match="transcription server"):
                await stt(pool, server).transcribe(SPEECH, deadline=soon)
            with pytest.raises(error, match="transcription server"):
                await heard(stt(pool, server).transcribe_stream(SPEECH, deadline=soon))

    async def test_a_long_recording_is_sent_again_when_the_server_was_busy(
        self, pool: HttpPool, soon: Deadline
    ) -> None:
        recording = wav_file(b"\x00\x01" * 1_500_000, 16_000)
        async with FakeSTT(STTScript(failures=[status(503, "0")])) as server:
            await stt(pool, server).transcribe(recording, deadline=soon)
            assert [request.form["file"] for request in server.requests] == [recording, recording]

    @pytest.mark.parametrize("events", ["openai", "vllm"])
    async def test_text_is_streamed(self, pool: HttpPool, soon: Deadline, events: Literal["openai", "vllm"]) -> None:
        async with FakeSTT(STTScript(events=events, tokens_per_second=100)) as server:
            pieces = await heard(stt(pool, server).transcribe_stream(SPEECH, deadline=soon))
            assert [piece.text for piece in pieces] == ["What", " is", " NATS?", "What is NATS?"]
            assert [piece.final for piece in pieces] == [False, False, False, True]
            assert server.disconnects == 0

    @pytest.mark.parametrize("dialect", ["openai", "whispercpp"])
    async def test_a_server_that_does_not_stream_gives_one_piece(
        self, pool: HttpPool, soon: Deadline, dialect: Literal["openai", "whispercpp"]
    ) -> None:
        async with FakeSTT(STTScript(events=""), dialect=dialect) as server:
            pieces = await heard(stt(pool, server).transcribe_stream(SPEECH, deadline=soon))
            assert pieces == [TranscriptionPiece("What is NATS?", final=True)]

    @pytest.mark.parametrize("failure", [reset(after=1), hang(after=1), error_in_stream(after=1)])
    async def test_a_stream_that_fails_is_an_upstream_error(
        self, pool: HttpPool, soon: Deadline, failure: Failure
    ) -> None:
        async with FakeSTT(STTScript(always=failure)) as server:
            with pytest.raises(UpstreamError):
                await heard(stt(pool, server, dialect="openai").transcribe_stream(SPEECH, deadline=soon))
            await wait_until(lambda: server.open_streams == 0)

    async def test_a_stream_without_its_end_is_an_upstream_error(self, pool: HttpPool, soon: Deadline) -> None:
        script = STTScript(events="openai", always=Failure(kind=FailureKind.NO_END_MARKER))
        async with FakeSTT(script) as server:
            with pytest.raises(UpstreamError):
                await heard(stt(pool, server, dialect="openai").transcribe_stream(SPEECH, deadline=soon))

    @pytest.mark.parametrize("field", ["message", "error"])
    @pytest.mark.parametrize("events", ["", "openai"])
    async def test_an_answer_without_text_is_an_upstream_error(
        self, pool: HttpPool, soon: Deadline, field: str, events: Literal["", "openai"]
    ) -> None:
        async with FakeSTT(STTScript(field=field, events=events)) as server:
            with pytest.raises(UpstreamError):
                await stt(pool, server, dialect="openai").transcribe(SPEECH, deadline=soon)
            if not events:
                with pytest.raises(UpstreamError):
                    await heard(stt(pool, server, dialect="openai").transcribe_stream(SPEECH, deadline=soon))


class TestTranscriptionEvents:
    @pytest.mark.parametrize("event", [b"{broken", b"7", b"\xff", b'{"type":"error"}', b'{"error":{"message":"x"}}'])
    def test_events_that_make_no_sense(self, event: bytes) -> None:
        reader = TranscriptionReader()
        assert reader.feed(b"data: " + event + b"\n\n") == ""
        assert reader.failure

    def test_a_server_that_sends_only_the_whole_text(self) -> None:
        reader = TranscriptionReader()
        assert reader.feed(b'data: {"type":"transcript.text.done","text":"Hi"}\n\n') == "Hi"
        assert (reader.text, reader.done) == ("Hi", True)

    def test_other_events_are_passed_over(self) -> None:
        reader = TranscriptionReader()
        assert reader.feed(b'data: {"type":"transcript.text.segment"}\n\ndata: {"choices":[{}]}\n\n') == ""
        assert not reader.failure

    def test_plain_text_is_text(self) -> None:
        answer = HttpAnswer(200, b" Hello\n", "text/plain; charset=utf-8")
        assert read_transcription(answer) == Transcription("Hello")

    def test_what_the_server_tells_besides_is_kept(self) -> None:
        answer = HttpAnswer(200, b'{"text":"Hi","language":"en","duration":1.5}', "application/json")
        assert read_transcription(answer) == Transcription("Hi", "en", 1.5)


class TestSpeech:
    @pytest.mark.parametrize("setting", ["auto", "named"])
    @pytest.mark.parametrize("dialect", TTS_NAMES)
    async def test_text_becomes_a_file(self, pool: HttpPool, soon: Deadline, dialect: TTSName, setting: str) -> None:
        async with FakeTTS(dialect=dialect) as server:
            client = tts(pool, server, dialect=SETTINGS.get(dialect, dialect) if setting == "named" else "auto")
            speech = await client.synthesize("Hello & goodbye", voice="anna", language="en", deadline=soon)
            assert speech.audio == wav_file(server.pcm, 24_000)
            assert (speech.audio_format, speech.sample_rate, speech.channels) == ("wav", 24_000, 1)
            asked = len(server.requests)
            again = await client.synthesize("Again", voice="anna", audio_format="pcm", deadline=soon)
            assert (again.audio, again.audio_format, again.sample_rate) == (server.pcm, "pcm", 24_000)
            assert len(server.requests) == asked + 1

    @pytest.mark.parametrize("dialect", TTS_NAMES)
    async def test_text_becomes_a_stream(self, pool: HttpPool, soon: Deadline, dialect: TTSName) -> None:
        async with FakeTTS(TTSScript(tokens_per_second=100), dialect=dialect) as server:
            client = tts(pool, server)
            pcm, rates = await spoken(client.stream("Hello", voice="ben", language="en", deadline=soon))
            assert pcm == server.pcm
            assert rates == {24_000}
            assert server.disconnects == 0

    @pytest.mark.parametrize("suffix", ["", "/api/tts"])
    async def test_ray_serve_is_found_below_its_prefix(self, pool: HttpPool, soon: Deadline, suffix: str) -> None:
        async with FakeTTS(dialect="rayserve") as server:
            client = tts(pool, server, "/tts" + suffix)
            speech = await client.synthesize("Hello", deadline=soon)
            assert speech.audio == wav_file(server.pcm, 24_000)
            pcm, _ = await spoken(client.stream("Hello", deadline=soon))
            assert pcm == server.pcm

    @pytest.mark.parametrize(("tell_rate", "rate"), [(True, 22_050), (False, 16_000)])
    async def test_the_rate_is_the_servers_or_else_the_settings(
        self, pool: HttpPool, soon: Deadline, tell_rate: bool, rate: int
    ) -> None:
        async with FakeTTS(TTSScript(sample_rate=22_050, tell_rate=tell_rate)) as server:
            _, rates = await spoken(tts(pool, server, sample_rate=16_000).stream("Hello", deadline=soon))
            assert rates == {rate}

    async def test_a_format_the_server_encodes_is_returned_as_it_is(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS() as server:
            speech = await tts(pool, server).synthesize("Hello", audio_format="mp3", deadline=soon)
            assert (speech.audio[:3], speech.audio_format) == (b"ID3", "mp3")
            assert server.requests[-1].json == {
                "model": "tts-1",
                "input": "Hello",
                "voice": "alloy",
                "response_format": "mp3",
            }

    async def test_whole_samples_come_however_the_bytes_are_cut(self, pool: HttpPool, soon: Deadline) -> None:
        chunks = [b"\x01", b"\x00\x02\x00\x03", b"\x00", b"\x04\x00\x05"]
        async with FakeTTS(TTSScript(chunks=chunks, tokens_per_second=200)) as server:
            pcm, _ = await spoken(tts(pool, server).stream("Hello", deadline=soon))
            assert pcm == b"\x01\x00\x02\x00\x03\x00\x04\x00"

    @pytest.mark.parametrize("dialect", ["openai", "xtts", "xtts-api"])
    async def test_voices_are_listed(self, pool: HttpPool, soon: Deadline, dialect: TTSName) -> None:
        async with FakeTTS(dialect=dialect) as server:
            assert await tts(pool, server).voices(deadline=soon) == ["anna", "ben"]

    @pytest.mark.parametrize("dialect", ["coqui", "rayserve"])
    async def test_a_server_that_lists_no_voices_has_none(
        self, pool: HttpPool, soon: Deadline, dialect: TTSName
    ) -> None:
        async with FakeTTS(dialect=dialect) as server:
            client = tts(pool, server)
            assert await client.voices(deadline=soon) == []
            await client.synthesize("Hello", deadline=soon)
            assert await client.voices(deadline=soon) == []

    @pytest.mark.parametrize(
        "voice",
        ["http://169.254.169.254/", "../../etc/passwd", "/etc/passwd", "a\nb", "a..b", "x" * 200, "a/b", "file:x"],
    )
    async def test_a_voice_that_could_be_a_path_is_refused(self, pool: HttpPool, soon: Deadline, voice: str) -> None:
        async with FakeTTS(dialect="xtts-api") as server:
            with pytest.raises(InvalidRequestError):
                await tts(pool, server).synthesize("Hello", voice=voice, deadline=soon)
            with pytest.raises(InvalidRequestError):
                await tts(pool, server).synthesize("Hello", language=voice, deadline=soon)
            assert not server.requests

    async def test_a_url_in_the_text_is_only_text(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(dialect="coqui") as server:
            text = "http://169.254.169.254/latest?a=b&speaker_id=x#y"
            await tts(pool, server).synthesize(text, deadline=soon)
            assert server.requests[-1].query == {"text": text}

    @pytest.mark.parametrize("failure", [reset(after=1), hang(after=1)])
    async def test_a_stream_that_fails_is_an_upstream_error(
        self, pool: HttpPool, soon: Deadline, failure: Failure
    ) -> None:
        async with FakeTTS(TTSScript(always=failure)) as server:
            with pytest.raises(UpstreamError):
                await spoken(tts(pool, server, dialect="openai").stream("Hello", deadline=soon))

    async def test_an_error_inside_a_stream_of_events(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(TTSScript(always=error_in_stream(after=1)), dialect="rayserve") as server:
            with pytest.raises(UpstreamError):
                await spoken(tts(pool, server, dialect="rayserve").stream("Hello", deadline=soon))

    async def test_silence_is_an_upstream_error(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(TTSScript(chunks=[])) as server:
            with pytest.raises(UpstreamError):
                await spoken(tts(pool, server, dialect="openai").stream("Hello", deadline=soon))

    async def test_closing_the_stream_closes_the_connection(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(TTSScript(chunks=[b"\x00\x00"] * 1000, tokens_per_second=50)) as server:
            async with aclosing(tts(pool, server).stream("Hello", deadline=soon)) as stream:
                await anext(stream)
            await wait_until(lambda: server.disconnects == 1, timeout=1)

    async def test_cancelling_closes_the_connection(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(TTSScript(chunks=[b"\x00\x00"] * 1000, tokens_per_second=50)) as server:
            task = asyncio.create_task(spoken(tts(pool, server).stream("Hello", deadline=soon)))
            await wait_until(lambda: server.open_streams == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait_until(lambda: server.disconnects == 1, timeout=1)


class TestSpeechAnswers:
    """Answers that servers give to speech requests, read without a server."""

    QUESTION = SpeechQuestion("Hello", "", "", "wav", "")

    @staticmethod
    def event(wav: bytes) -> bytes:
        return b"data: " + base64.b64encode(wav) + b"\n\n"

    def test_bare_base64_is_read(self) -> None:
        chunk = WavEventReader().feed(self.event(wav_file(b"\x01\x00", 8_000)) + b"data: [DONE]\n\n")
        assert chunk == SpeechChunk(b"\x01\x00", 8_000)

    @pytest.mark.parametrize("name", ["audio", "audio_base64", "audio_b64", "wav", "data"])
    def test_sound_has_many_names(self, name: str) -> None:
        text = "data:audio/wav;base64," + base64.b64encode(wav_file(b"\x01\x00", 8_000)).decode()
        answer = HttpAnswer(200, json.dumps({name: text}).encode(), "application/json")
        assert speech_audio(answer, self.QUESTION).audio == wav_file(b"\x01\x00", 8_000)
        event = f"data: {json.dumps({name: text})}\n\n".encode()
        assert WavEventReader().feed(event) == SpeechChunk(b"\x01\x00", 8_000)

    @pytest.mark.parametrize(
        "data",
        [b"data: {broken\n\n", b"data: ?\n\n", b"data: \xff\n\n", b'data: {"error":{"a":1}}\n\n', b"data: AAAA\n\n"],
    )
    def test_events_that_make_no_sense(self, data: bytes) -> None:
        with pytest.raises(UpstreamError):
            WavEventReader().feed(data + self.event(b"RIFX" + bytes(60)))

    def test_a_rate_that_changes_is_an_upstream_error(self) -> None:
        first, second = (self.event(wav_file(b"\x01\x00", rate)) for rate in (8_000, 16_000))
        with pytest.raises(UpstreamError):
            WavEventReader().feed(first + second)

    def test_an_event_without_sound_is_passed_over(self) -> None:
        assert WavEventReader().feed(b'data: {"status":"queued"}\n\n') is None

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", "audio/wav"),
            (b"<html>", "text/html"),
            (b"{broken", "application/json"),
            (b'{"audio":"???"}', "application/json"),
            (b'{"status":"ok"}', "application/json"),
        ],
    )
    def test_an_answer_without_sound(self, body: bytes, content_type: str) -> None:
        with pytest.raises(AttemptError):
            speech_audio(HttpAnswer(200, body, content_type), self.QUESTION)

    def test_another_encoding_in_a_wav_file_is_left_as_it_is(self) -> None:
        floats = bytearray(wav_file(bytes(8), 8_000))
        floats[20] = 3
        assert speech_audio(HttpAnswer(200, bytes(floats), "audio/wav"), self.QUESTION) == SpeechAudio(
            bytes(floats), "wav"
        )

    def test_raw_samples_get_a_header_where_a_file_is_wanted(self) -> None:
        answer = HttpAnswer(200, b"\x01\x00\x02", "audio/pcm;rate=8000")
        assert speech_audio(answer, self.QUESTION).audio == wav_file(b"\x01\x00", 8_000)


class TestXttsVoices:
    async def test_the_arrays_of_the_voice_are_sent(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(dialect="xtts") as server:
            client = tts(pool, server, dialect="xtts")
            await spoken(client.stream('Say "hi"', voice="ben", language="de", deadline=soon))
            assert server.requests[-1].json == {
                "speaker_embedding": [1.0, 0.25],
                "gpt_cond_latent": [[1.0, 0.5], [1.0, 2.0]],
                "text": 'Say "hi"',
                "language": "de",
                "add_wav_header": False,
                "stream_chunk_size": "20",
            }

    async def test_a_new_voice_of_the_server_is_found(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(dialect="xtts") as server:
            client = tts(pool, server, dialect="xtts")
            await client.synthesize("Hello", deadline=soon)
            with pytest.raises(NotFoundError):
                await client.synthesize("Hello", voice="carl", deadline=soon)
            server.script.voices.append("carl")
            await client.synthesize("Hello", voice="carl", deadline=soon)
            assert server.requests[-1].json["speaker_embedding"] == [2.0, 0.25]

    async def test_a_recording_becomes_a_voice(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(dialect="xtts") as server:
            client = tts(pool, server, dialect="xtts")
            await client.clone_voice("mine", SPEECH, deadline=soon)
            assert server.requests[-1].form["wav_file"] == SPEECH
            await client.synthesize("Hello", voice="mine", deadline=soon)
            assert server.requests[-1].json["speaker_embedding"] == [99.0, 0.25]
            assert await client.voices(deadline=soon) == ["anna", "ben", "mine"]
            client.forget_voice("mine")
            with pytest.raises(NotFoundError):
                await client.synthesize("Hello", voice="mine", deadline=soon)

    @pytest.mark.parametrize("failure", [status(500), Failure(kind=FailureKind.MALFORMED)])
    async def test_a_voice_that_cannot_be_made_is_an_upstream_error(
        self, pool: HttpPool, soon: Deadline, failure: Failure
    ) -> None:
        async with FakeTTS(TTSScript(always=failure), dialect="xtts") as server:
            with pytest.raises(UpstreamError):
                await tts(pool, server, dialect="xtts").clone_voice("mine", SPEECH, deadline=soon)

    async def test_a_server_without_voices_has_none_to_speak_with(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS(TTSScript(voices=[]), dialect="xtts") as server:
            with pytest.raises(NotFoundError):
                await tts(pool, server, dialect="xtts").synthesize("Hello", deadline=soon)

    async def test_other_servers_cannot_clone(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeTTS() as server:
            with pytest.raises(UpstreamError):
                await tts(pool, server).clone_voice("mine", SPEECH, deadline=soon)


class TestWav:
    @given(st.binary(max_size=200), st.booleans(), st.lists(st.integers(0, 300), max_size=8))
    def test_samples_do_not_depend_on_where_the_bytes_are_cut(
        self, pcm: bytes, streamed: bool, places: list[int]
    ) -> None:
        data = wav_file(pcm, 22_050, streamed=streamed)
        marks = [0, *sorted(min(place, len(data)) for place in places), len(data)]
        wav = WavStream()
        found = b"".join(wav.feed(data[start:end]) for start, end in itertools.pairwise(marks))
        assert (found, wav.sample_rate, wav.channels) == (pcm, 22_050, 1)

    def test_other_parts_of_a_header_are_passed_over(self) -> None:
        data = wav_file(b"\x01\x00", 8_000)
        padded = data[:36] + b"LIST\x03\x00\x00\x00abc\x00" + data[36:]
        assert WavStream().feed(padded) == b"\x01\x00"

    @pytest.mark.parametrize(
        "data",
        [
            b"ID3\x04" + bytes(100),
            b"RIFF\x00\x00\x00\x00AVI " + bytes(100),
            wav_file(b"", 0),
            wav_file(b"", 8_000)[:20] + b"\x03" + wav_file(b"", 8_000)[21:],
            b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00",
            b"RIFF\x00\x00\x00\x00WAVELIST\xff\xff\xff\x7f" + bytes(70_000),
        ],
    )
    def test_what_is_no_wav_is_an_upstream_error(self, data: bytes) -> None:
        with pytest.raises(UpstreamError):
            WavStream().feed(data)

    def test_a_header_written_is_a_header_read(self) -> None:
        wav = WavStream()
        assert wav.feed(pcm_to_wav(b"\x01\x00\x02\x00", 44_100, 2)) == b"\x01\x00\x02\x00"
        assert (wav.sample_rate, wav.channels) == (44_100, 2)

    @pytest.mark.parametrize(
        ("content_type", "rate"),
        [
            ("audio/pcm", 24_000),
            ("audio/pcm;rate=22050", 22_050),
            ("audio/L16; channels=1; Rate=16000", 16_000),
            ('audio/pcm; rate="8000"', 8_000),
            ("audio/pcm;rate=0", 24_000),
            ("audio/pcm;bitrate=3", 24_000),
            ("", 24_000),
        ],
    )
    def test_the_rate_of_raw_samples_is_read(self, content_type: str, rate: int) -> None:
        assert pcm_rate(content_type, 24_000) == rate

    def test_formats_are_known_by_their_content_type(self) -> None:
        assert media_format("Audio/WAV; charset=x") == "wav"
        assert media_format("audio/mpeg") == "mp3"
        assert media_format("application/octet-stream") == ""
