"""A speech in one message."""

from __future__ import annotations

import io
import wave

import pytest

from handler_base.testing.inference import FakeTTS, wav_file
from handler_base.testing.tts_caller import TtsCaller

TEXT = "This is the first sentence of it. Here is a second sentence. The third one ends the text."


async def test_a_wav_file_of_all_sentences(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.say(TEXT, stream=False)
    assert heard.order == ["queued", "processing", "full", "completed"]
    (full,) = heard.full
    assert (full.session_id, full.sample_rate, full.channels, full.bit_depth) == (heard.session_id, 24_000, 1, 16)
    assert full.audio_encoding == 2
    assert full.timestamp > 0
    with wave.open(io.BytesIO(full.audio)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(file.getnframes()) == server.pcm * 3
    assert heard.chunks == []


async def test_bare_samples(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.say("Hello there.", stream=False, format="pcm")
    assert (heard.full[0].audio, heard.full[0].audio_encoding) == (server.pcm, 1)


async def test_a_compressed_format_is_made_by_the_server_of_the_whole_text(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.say(TEXT, stream=False, format="mp3")
    assert (heard.full[0].audio_encoding, heard.full[0].audio[:3]) == (4, b"ID3")
    assert [request.json["input"] for request in server.requests] == [TEXT]


async def test_what_does_not_fit_a_message_is_an_error(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.chunks = [b"\0" * 100_000] * 100
    heard = await tts.say("Hello there.", stream=False)
    assert (heard.said[-1], heard.codes[-1], heard.full) == ("error", "413", [])


@pytest.mark.parametrize("short", [0, 64 * 1024])
async def test_what_just_fits_is_sent(tts: TtsCaller, server: FakeTTS, short: int) -> None:
    size = tts.client.max_payload - 4 * 1024 - short - len(wav_file(b"", 24_000))
    server.script.chunks = [b"\0" * (size - size % 2)]
    heard = await tts.say("Hello there.", stream=False)
    assert heard.said[-1] == "completed"
    assert len(heard.full[0].audio) > size
