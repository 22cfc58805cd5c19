"""Transcript, text and audio as they come: in order, early, ended once."""

from __future__ import annotations

from handler_base.messages import VoiceRequest
from handler_base.testing.inference import (
    FakeLLM,
    FakeSTT,
    FakeTTS,
    TTSScript,
    error_in_stream,
    hang,
    reset,
    status,
    truncated,
    wav_file,
)
from handler_base.testing.voice_caller import Heard, VoiceCaller
from handler_base.testing.waiting import wait_until

RECORDING = wav_file(b"\x01\x00" * 16_000, 16_000)
FIRST = ("The lamp is lit at dusk,", " as it always was.", " Then")
LATER = (" the keeper rests", " until the dawn comes.", " It is a long night", " in the winter months.")


def question(**values: object) -> VoiceRequest:
    request = VoiceRequest(audio=RECORDING, enable_rag=False, enable_streaming=True)
    for name, value in values.items():
        setattr(request, name, value)
    return request


def assert_whole(heard: Heard) -> None:
    """Numbered from 0 without gaps, one transcript, one end marker, and all of the answer."""
    assert [chunk.sequence for chunk in heard.chunks] == list(range(len(heard.chunks)))
    assert {chunk.request_id for chunk in heard.chunks} == {heard.answer.request_id}
    assert all(chunk.timestamp > 0 for chunk in heard.chunks)
    assert [chunk.done for chunk in heard.chunks] == [False] * (len(heard.chunks) - 1) + [True]
    assert heard.chunks[0].type == "transcription"
    assert heard.chunks[0].content == heard.answer.transcription
    assert heard.chunks[-1].type == "done"
    assert heard.text == heard.answer.response
    assert wav_file(heard.sound, heard.answer.sample_rate) == heard.answer.audio


def inputs(tts: FakeTTS) -> list[str]:
    return [request.json["input"] for request in tts.requests]


async def test_the_stream_has_transcript_text_and_audio(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = (*FIRST, *LATER)
    heard = await voice.ask(question())
    assert_whole(heard)
    assert {chunk.audio_format for chunk in heard.chunks if chunk.type == "audio"} == {"pcm"}
    assert {chunk.sample_rate for chunk in heard.chunks if chunk.type == "audio"} == {24_000}
    assert " ".join(inputs(tts)) == "".join(llm.script.tokens)


async def test_speech_starts_while_the_model_writes(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = FIRST
    llm.script.always = hang(after=3)
    asked = await voice.begin(question())
    await wait_until(lambda: asked.count("audio") > 0)
    assert llm.open_streams == 1
    assert inputs(tts) == ["The lamp is lit at dusk,"]
    await voice.cancel(asked.request_id)
    assert (await asked.heard()).error_code == "499"


async def test_slow_words_are_not_held_back(voice: VoiceCaller, llm: FakeLLM) -> None:
    llm.script.tokens = ("one ", "two ", "three")
    llm.script.always = hang(after=1)
    asked = await voice.begin(question())
    await wait_until(lambda: asked.count("text") == 1)
    await voice.cancel(asked.request_id)
    await asked.heard()


async def test_pieces_are_heard_in_order_however_fast_each_is_made(
    voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS
) -> None:
    """The first piece is made so slowly that the others are there before it."""
    sentences = [f"This is sentence number {word} of the long answer." for word in ("one", "two", "six")]
    llm.script.tokens = [f"{sentence} " for sentence in sentences]
    tts.script.sound = lambda text: (text.encode("utf-16-le"),)
    tts.script.delay = 0.3
    llm.script.tokens_per_second = 20
    asked = await voice.begin(question())
    await wait_until(lambda: len(tts.requests) == 1)
    tts.script.delay = 0
    heard = await asked.heard()
    assert_whole(heard)
    assert heard.sound.decode("utf-16-le") == "".join(sentences)


async def test_no_more_pieces_are_made_at_once_than_set(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = [f"This is sentence number {number} of the very long answer. " for number in range(9)]
    tts.script.always = hang(after=1)
    asked = await voice.begin(question())
    await wait_until(lambda: tts.open_streams == 3)
    await wait_until(lambda: asked.count("text") > 0 and llm.open_streams == 0)
    assert len(tts.requests) == 3
    await voice.cancel(asked.request_id)
    await asked.heard()
    await wait_until(lambda: tts.open_streams == 0)


async def test_long_sound_is_sent_in_short_pieces(voice: VoiceCaller, tts: FakeTTS) -> None:
    tts.script = TTSScript(chunks=(bytes(range(256)) * 400,), sample_rate=16_000)
    heard = await voice.ask(question())
    assert_whole(heard)
    longest = max(len(chunk.audio) for chunk in heard.chunks)
    assert longest == 16_000 * 2 // 5


async def test_cancel_stops_every_server(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = (*FIRST, *LATER)
    llm.script.always = hang(after=4)
    tts.script.always = hang(after=1)
    asked = await voice.begin(question())
    await wait_until(lambda: asked.count("audio") > 0)
    await voice.cancel(asked.request_id)
    heard = await asked.heard()
    assert (heard.error_code, heard.answer.audio) == ("499", b"")
    last = heard.chunks[-1]
    assert (last.type, last.error_type, last.done) == ("error", "cancelled", True)
    await wait_until(lambda: llm.open_streams == tts.open_streams == 0)


async def test_cancel_while_the_recording_is_transcribed(voice: VoiceCaller, stt: FakeSTT) -> None:
    stt.script.always = hang()
    asked = await voice.begin(question())
    await wait_until(lambda: stt.open_streams == 1)
    await voice.cancel(asked.request_id)
    assert (await asked.heard()).error_code == "499"
    await wait_until(lambda: stt.open_streams == 0)


async def test_a_model_that_fails_in_the_middle_ends_the_stream_with_the_error(
    voice: VoiceCaller, llm: FakeLLM
) -> None:
    llm.script.tokens = (*FIRST, *LATER)
    for failure in (truncated(after=3), error_in_stream(after=3)):
        llm.script.failures = [failure]
        heard = await voice.ask(question())
        assert heard.error_code == "502"
        assert (heard.chunks[-1].type, heard.chunks[-1].done) == ("error", True)
        assert [chunk.sequence for chunk in heard.chunks] == list(range(len(heard.chunks)))
    assert_whole(await voice.ask(question()))


async def test_an_answer_that_cannot_be_spoken_is_written(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = (*FIRST, *LATER)
    tts.script.always = status(500)
    heard = await voice.ask(question())
    assert (heard.error_code, heard.answer.error, heard.answer.audio) == ("", "", b"")
    assert heard.answer.response == heard.text == "".join(llm.script.tokens)
    assert heard.kinds == ["transcription", "text", "done"]


async def test_speech_that_breaks_off_leaves_the_answer(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = (*FIRST, *LATER)
    tts.script.failures = [None, reset(after=1)]
    heard = await voice.ask(question())
    assert (heard.answer.error, heard.answer.audio) == ("", b"")
    assert heard.answer.response == "".join(llm.script.tokens)
    assert heard.chunks[-1].type == "done"


async def test_an_answer_without_words_is_silent(voice: VoiceCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = ("```\nprint()\n```",)
    heard = await voice.ask(question())
    assert (heard.answer.error, heard.answer.audio) == ("", b"")
    assert tts.requests == []
