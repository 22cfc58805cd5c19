"""Spoken answers; one that cannot be spoken is still an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from handler_base.handler import Service
from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM, FakeTTS, hang, wav_file

StartChat = Callable[..., Awaitable[Service]]


def spoken(*, wanted: bool = True) -> ChatRequest:
    return ChatRequest(message="hi", enable_rag=False, enable_tts=wanted)


async def test_an_answer_is_spoken_without_its_markup(chat: ChatCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = ("## Hours\n", "- **Open** at `nine`, see [the page](https://example.org/hours).\n")
    answer = (await chat.ask(spoken())).answer
    assert answer.audio_format == "wav"
    assert answer.audio[:4] == b"RIFF"
    assert tts.pcm in answer.audio
    assert tts.requests[-1].json["input"] == "Hours\nOpen at nine, see the page."
    assert "**Open**" in answer.response
    assert "speech" in answer.timings_ms


async def test_nobody_speaks_unasked(chat: ChatCaller, tts: FakeTTS) -> None:
    answer = (await chat.ask(spoken(wanted=False))).answer
    assert (answer.audio, answer.audio_format) == (b"", "")
    assert tts.requests == []


async def test_every_answer_is_spoken_where_the_operator_says_so(start: StartChat, caller: ChatCaller) -> None:
    await start(enable_tts=True)
    assert (await caller.ask(spoken(wanted=False))).answer.audio


async def test_the_language_and_the_voice_reach_the_server(start: StartChat, caller: ChatCaller, tts: FakeTTS) -> None:
    await start(tts_voice="anna")
    request = spoken()
    request.language = "de"
    await caller.ask(request)
    assert tts.requests[-1].json["voice"] == "anna"


async def test_without_a_speech_server_it_answers_in_text(chat: ChatCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    await tts.stop()
    heard = await chat.ask(spoken())
    assert (heard.error_code, heard.answer.success, heard.answer.response) == (
        "",
        True,
        "The answer is in the documents.",
    )
    assert (heard.answer.audio, heard.answer.audio_format) == (b"", "")


async def test_a_speech_server_that_hangs_costs_its_budget(start: StartChat, caller: ChatCaller, tts: FakeTTS) -> None:
    await start(speech_timeout=0.2)
    tts.script.always = hang()
    answer = (await caller.ask(spoken())).answer
    assert (answer.success, answer.audio) == (True, b"")
    assert answer.timings_ms["speech"] >= 200


async def test_sound_that_does_not_fit_a_message_is_left_out(chat: ChatCaller, tts: FakeTTS) -> None:
    tts.script.chunks = [b"\0" * (chat.client.max_payload - len(wav_file(b"", 24_000)))]
    answer = (await chat.ask(spoken())).answer
    assert (answer.success, answer.audio) == (True, b"")
    assert answer.response


async def test_an_answer_with_nothing_to_say_is_not_spoken(chat: ChatCaller, llm: FakeLLM, tts: FakeTTS) -> None:
    llm.script.tokens = ("```python\n", "print(1)\n```")
    answer = (await chat.ask(spoken())).answer
    assert (answer.success, answer.audio) == (True, b"")
    assert tts.requests == []


@pytest.mark.parametrize("voice", ["../../etc/passwd", "a b\n"])
async def test_a_voice_that_is_no_name_takes_the_sound_only(start: StartChat, caller: ChatCaller, voice: str) -> None:
    await start(tts_voice=voice)
    answer = (await caller.ask(spoken())).answer
    assert (answer.success, answer.audio) == (True, b"")
