"""One speech at a time in a session; what is asked for wrongly, or too much, is told in a status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from handler_base.handler import Service
from handler_base.messages import Encoding, TTSRequest
from handler_base.messages.subjects import TTS_REQUEST
from handler_base.testing.inference import Failure, FakeTTS, hang, reset, status, truncated
from handler_base.testing.tts_caller import HeardSpeech, TtsCaller

StartTts = Callable[..., Awaitable[Service]]


def assert_failed(heard: HeardSpeech, code: str) -> None:
    """One last status, an error with its number and some words."""
    assert (heard.said[-1], heard.codes[-1]) == ("error", code)
    assert heard.statuses[-1].message
    assert heard.statuses[-1].session_id == heard.session_id
    assert len(heard.said) == len(set(heard.said))


async def test_the_speeches_of_a_session_do_not_mix(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.tokens_per_second = 200
    heard = await tts.hear()
    for number in range(4):
        await tts.ask(heard, TTSRequest(text=f"This is text number {number}."))
    await heard.ended(4)
    indexes = [chunk.chunk_index for chunk in heard.chunks]
    assert indexes == list(range(len(indexes) // 4)) * 4
    assert [chunk.is_last for chunk in heard.chunks].count(True) == 4
    without = [word for word in heard.order if word not in {"chunk", "queued"}]
    assert without == ["processing", "completed"] * 4


async def test_sessions_are_spoken_at_the_same_time(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang(after=1)
    server.script.chunks = [b"\x01\x00" * 2400] * 2
    sessions = [await tts.hear() for _ in range(5)]
    for heard in sessions:
        await tts.ask(heard, TTSRequest(text="Hello there."))
    for heard in sessions:
        await heard.until(lambda heard: heard.chunks)
        await tts.cancel(heard)
    await asyncio.gather(*(heard.ended() for heard in sessions))


async def test_more_than_may_wait_are_refused(start: StartTts, caller: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    await start(max_concurrency=2, queue_size=1)
    sessions = [await caller.hear() for _ in range(4)]
    for heard in sessions[:3]:
        await caller.ask(heard, TTSRequest(text="Hello there."))
        await heard.until(lambda heard: heard.said)
    await caller.ask(sessions[3], TTSRequest(text="Hello there."))
    await sessions[3].ended()
    assert_failed(sessions[3], "429")
    assert sessions[3].said == ["error"]
    assert sessions[2].said == ["queued"]
    for heard in sessions[:3]:
        await caller.cancel(heard)
        await heard.ended()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"text": ""}, "400"),
        ({"text": "  \n "}, "400"),
        ({"text": "```\nprint(1)\n```"}, "400"),
        ({"text": "*** --- !!!"}, "400"),
        ({"text": "Hello.", "speaker": "../../etc/passwd"}, "400"),
        ({"text": "Hello.", "language": "klingon or so"}, "400"),
        ({"text": "Hello.", "request_id": "a b"}, "400"),
        ({"text": "word " * 5000}, "413"),
        ({"text": "Hello.", "format": "mp3"}, "415"),
        ({"text": "Hello.", "format": "tape", "stream": False}, "415"),
    ],
)
async def test_what_is_asked_wrongly_is_an_error(
    tts: TtsCaller, server: FakeTTS, values: dict[str, Any], code: str
) -> None:
    heard = await tts.say(**values)
    assert_failed(heard, code)
    assert [chunk for chunk in heard.chunks if chunk.audio] == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [(status(500), "502"), (status(400), "502"), (status(404), "502"), (reset(), "503"), (truncated(1), "502")],
)
async def test_a_speech_server_that_fails_is_an_error(
    tts: TtsCaller, server: FakeTTS, failure: Failure, code: str
) -> None:
    server.script.always = failure
    heard = await tts.say("Hello there.")
    assert_failed(heard, code)
    assert heard.said == ["queued", "processing", "error"]
    assert (heard.chunks[-1].is_last, heard.chunks[-1].audio) == (True, b"")


async def test_a_speech_server_that_is_away_is_an_error(tts: TtsCaller, server: FakeTTS) -> None:
    await server.stop()
    assert_failed(await tts.say("Hello there."), "503")
    await server.start()


async def test_the_time_is_over(start: StartTts, caller: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    await start(tts_timeout=0.2)
    assert_failed(await caller.say("Hello there."), "504")


async def test_an_error_in_the_middle_comes_after_the_sentences_before_it(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.failures = [None, status(400)]
    heard = await tts.say("This is the first sentence of it. Here is a second sentence.")
    assert_failed(heard, "502")
    assert heard.audio == server.pcm
    assert [chunk.is_last for chunk in heard.chunks].count(True) == 1


@pytest.mark.parametrize("body", [b"\xc1", b"\x81\xa4text", b"\x81\xa4text\x80", b"\xff" * 40])
async def test_nonsense_is_an_error_and_does_not_disturb_others(tts: TtsCaller, body: bytes) -> None:
    heard = await tts.hear()
    await tts.client.publish(TTS_REQUEST.format(session_id=heard.session_id), body)
    await heard.ended()
    assert_failed(heard, "400")
    assert (await tts.say("Hello there.")).said == ["queued", "processing", "completed"]


async def test_markup_and_numbers_are_made_words(tts: TtsCaller, server: FakeTTS) -> None:
    await tts.say("**Open** at `nine`, costs $5, see [the page](https://example.org/hours).")
    assert [request.json["input"] for request in server.requests] == ["Open at nine, costs five dollars, see the page."]


@pytest.mark.parametrize("encoding", Encoding)
async def test_an_error_is_in_the_encoding_of_the_request(tts: TtsCaller, encoding: Encoding) -> None:
    heard = await tts.say("", encoding=encoding)
    assert_failed(heard, "400")
    assert heard.encodings == {encoding}


async def test_a_service_that_stops_finishes_what_it_speaks(
    start: StartTts, caller: TtsCaller, server: FakeTTS
) -> None:
    service = await start()
    server.script.chunks = [b"\x01\x00" * 2400] * 20
    server.script.tokens_per_second = 50
    heard = await caller.hear()
    await caller.ask(heard, TTSRequest(text="Hello there."))
    await heard.until(lambda heard: heard.chunks)
    await service.stop()
    await heard.ended()
    assert heard.said == ["queued", "processing", "completed"]
    assert heard.audio == server.pcm


async def test_a_speech_that_takes_longer_than_the_stop_is_told_so(
    start: StartTts, caller: TtsCaller, server: FakeTTS
) -> None:
    service = await start(drain_timeout=0.1)
    server.script.always = hang()
    heard = await caller.hear()
    await caller.ask(heard, TTSRequest(text="Hello there."))
    await heard.until(lambda heard: "processing" in heard.said)
    await service.stop()
    await heard.ended()
    assert_failed(heard, "429")
