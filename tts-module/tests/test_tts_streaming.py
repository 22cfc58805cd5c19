"""A text in, sound in chunks: numbered, of the right length, in the order of the text, ended once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from handler_base.handler import Service
from handler_base.messages import Encoding
from handler_base.testing.inference import FakeTTS
from handler_base.testing.tts_caller import HeardSpeech, TtsCaller

StartTts = Callable[..., Awaitable[Service]]

TEXT = "This is the first sentence of it. Here is a second sentence. The third one ends the text."


def assert_whole(heard: HeardSpeech) -> None:
    """Numbered from 0 without gaps, one end marker, the last, with the number of chunks."""
    count = len(heard.chunks)
    assert [chunk.chunk_index for chunk in heard.chunks] == list(range(count))
    assert [chunk.is_last for chunk in heard.chunks] == [False] * (count - 1) + [True]
    assert [chunk.total_chunks for chunk in heard.chunks] == [0] * (count - 1) + [count]
    assert {chunk.session_id for chunk in heard.chunks} == {heard.session_id}
    assert all(chunk.timestamp > 0 and chunk.audio for chunk in heard.chunks)


async def test_a_text_becomes_chunks_and_statuses(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.say("Hello there.")
    assert_whole(heard)
    assert heard.audio == server.pcm
    assert heard.order == ["queued", "processing", *["chunk"] * len(heard.chunks), "completed"]
    assert {(c.sample_rate, c.channels, c.bit_depth, c.audio_encoding) for c in heard.chunks} == {(24_000, 1, 16, 1)}


@pytest.mark.parametrize("encoding", Encoding)
async def test_the_answer_is_in_the_encoding_of_the_request(tts: TtsCaller, encoding: Encoding) -> None:
    heard = await tts.say("Hello there.", encoding=encoding, stream=True)
    assert heard.said == ["queued", "processing", "completed"]
    assert heard.encodings == {encoding}


@pytest.mark.parametrize("longest", [0.02, 0.05, 0.1])
async def test_chunks_are_20_to_100_ms_long(
    start: StartTts, caller: TtsCaller, server: FakeTTS, longest: float
) -> None:
    server.script.chunks = [b"\x01\x00" * 24_000, b"\x02\x00" * 7, b"\x03\x00" * 700]
    await start(tts_chunk=longest)
    heard = await caller.say("Hello there.")
    assert_whole(heard)
    assert heard.audio == server.pcm
    assert all(480 <= len(chunk.audio) // 2 <= 24_000 * longest + 480 for chunk in heard.chunks)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
async def test_the_rate_is_what_the_server_says(tts: TtsCaller, server: FakeTTS, rate: int) -> None:
    server.script.sample_rate = rate
    heard = await tts.say("Hello there.")
    assert {chunk.sample_rate for chunk in heard.chunks} == {rate}
    assert heard.audio == server.pcm


async def test_a_rate_that_the_server_does_not_say_is_a_setting(
    start: StartTts, caller: TtsCaller, server: FakeTTS
) -> None:
    server.script.tell_rate = False
    await start(tts_sample_rate=22_050)
    heard = await caller.say("Hello there.")
    assert {chunk.sample_rate for chunk in heard.chunks} == {22_050}


async def test_sentences_are_spoken_in_their_order(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.say(TEXT)
    assert_whole(heard)
    asked = [request.json["input"] for request in server.requests]
    assert len(asked) == 3
    assert sorted(asked, key=TEXT.index) == asked
    assert heard.audio == server.pcm * 3
