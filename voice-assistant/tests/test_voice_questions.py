"""A recorded question in, a spoken answer out, on every subject and in both encodings."""

from __future__ import annotations

import asyncio

import pytest

from handler_base.messages import Encoding, VoiceRequest, VoiceResponse, decode
from handler_base.messages.subjects import VOICE_REQUEST, VOICE_REQUEST_LEGACY, Subject
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS, wav_file
from handler_base.testing.voice_caller import LONGEST_WAIT, Heard, VoiceCaller, encoding_of

RECORDING = wav_file(b"\x01\x00" * 16_000, 16_000)


def question(**values: object) -> VoiceRequest:
    request = VoiceRequest(audio=RECORDING)
    for name, value in values.items():
        setattr(request, name, value)
    return request


def assert_answered(heard: Heard, stt: FakeSTT, tts: FakeTTS) -> None:
    answer = heard.answer
    assert (heard.error_code, answer.error) == ("", "")
    assert answer.transcription == "".join(stt.script.pieces)
    assert answer.response
    assert (answer.audio_format, answer.sample_rate) == ("wav", tts.script.sample_rate)
    spoken = [request.json["input"] for request in tts.requests if "input" in request.json]
    assert answer.audio == wav_file(tts.pcm * len(spoken), tts.script.sample_rate)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_question_by_request_reply(voice: VoiceCaller, stt: FakeSTT, tts: FakeTTS, encoding: Encoding) -> None:
    stt.script.pieces = ("When", " does the lighthouse keeper light the lamp?")
    heard = await voice.ask(question(), encoding=encoding)
    assert_answered(heard, stt, tts)
    assert heard.encoding is encoding
    assert heard.answer.rag_docs_used == len(heard.answer.sources) > 0
    assert heard.answer.sources[0].document_id == "lighthouse"
    assert heard.chunks == ()
    timings = heard.answer.timings_ms
    assert {"stt", "embed", "search", "rerank", "llm", "first_clause", "first_audio", "speech"} <= set(timings)
    assert heard.answer.latency_ms >= timings["first_audio"] >= timings["stt"] > 0


async def test_a_durable_question(voice: VoiceCaller, stt: FakeSTT, tts: FakeTTS) -> None:
    assert_answered(await voice.put(question()), stt, tts)


@pytest.mark.parametrize(
    ("subject", "response"),
    [(VOICE_REQUEST_LEGACY, "voice.response.{}"), (VOICE_REQUEST, "ai.voice.response.{}")],
)
async def test_the_answer_comes_in_the_family_of_the_question(
    voice: VoiceCaller, subject: Subject, response: str
) -> None:
    request = question(request_id="q1")
    ours, other = await asyncio.gather(
        voice.listen(response.format("q1")),
        voice.listen("voice.response.q1" if response.startswith("ai.") else "ai.voice.response.q1"),
    )
    heard = await voice.ask(request, subject=subject)
    msg = await asyncio.wait_for(ours.get(), LONGEST_WAIT)
    assert decode(VoiceResponse, msg.data, encoding_of(msg)) == heard.answer
    await voice.client.flush()
    assert other.empty()


async def test_the_recording_goes_to_the_transcription_as_it_came(voice: VoiceCaller, stt: FakeSTT) -> None:
    await voice.ask(question(language="de", format="WAV"))
    (form,) = [request.form for request in stt.requests]
    assert form["file"] == RECORDING
    assert form["language"] == b"de"


async def test_the_voice_of_the_question_speaks(voice: VoiceCaller, tts: FakeTTS) -> None:
    await voice.ask(question(voice="ben", enable_rag=False))
    assert {request.json["voice"] for request in tts.requests} == {"ben"}


async def test_an_answer_is_said_without_its_marks(
    voice: VoiceCaller, stt: FakeSTT, llm: FakeLLM, tts: FakeTTS
) -> None:
    stt.script.pieces = ("When does the lighthouse keeper light the lamp?",)
    llm.script.tokens = ("The **lamp**", " is lit at dusk [1].", " It costs 5 kg", " of oil.")
    heard = await voice.ask(question())
    assert heard.answer.response == "The **lamp** is lit at dusk [1]. It costs 5 kg of oil."
    said = " ".join(request.json["input"] for request in tts.requests)
    assert said == "The lamp is lit at dusk. It costs five kilograms of oil."


async def test_the_model_is_told_that_it_is_heard(voice: VoiceCaller, llm: FakeLLM) -> None:
    await voice.ask(question(enable_rag=False))
    messages = llm.requests[-1].json["messages"]
    assert "read aloud" in messages[0]["content"]
    assert "What is NATS?" in messages[-1]["content"]


async def test_questions_side_by_side_keep_their_answers(voice: VoiceCaller, llm: FakeLLM, stt: FakeSTT) -> None:
    llm.script.tokens_per_second = 400
    answers = await asyncio.gather(*(voice.ask(question(request_id=f"q{n}", enable_rag=False)) for n in range(20)))
    assert {heard.answer.request_id for heard in answers} == {f"q{n}" for n in range(20)}
    assert all(heard.answer.audio and not heard.answer.error for heard in answers)
    assert len(stt.requests) == 20
