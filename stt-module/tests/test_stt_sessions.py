"""A session from its start to its end: finals in order, with everything the contract says of them."""

from __future__ import annotations

import pytest

from handler_base.messages import Encoding
from handler_base.testing.inference import FakeSTT
from handler_base.testing.stt_caller import SttCaller

from .sounds import noise, vowels

ROOM = noise(0.8, level=30)
ONE = ROOM + vowels(1.2) + ROOM
TWO = ONE + vowels(0.9) + ROOM


async def test_speech_becomes_numbered_finals(stt: SttCaller, server: FakeSTT) -> None:
    heard = await stt.say(TWO, speaker_id="ann", language="en")
    assert [final.sequence for final in heard.finals] == [0, 1]
    assert [final.transcript for final in heard.finals] == ["What is NATS?"] * 2
    for final, length in zip(heard.finals, (1200, 900), strict=True):
        assert (final.session_id, final.speaker_id, final.state) == (heard.session_id, "ann", "listening")
        assert final.has_voice_activity
        assert not final.is_partial
        assert length < final.audio_ms < length + 1000
        assert final.timestamp > 1_700_000_000
    assert {request.form["language"] for request in server.requests} == {b"en"}


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_session_keeps_the_encoding_of_its_first_message(stt: SttCaller, encoding: Encoding) -> None:
    heard = await stt.say(ONE, encoding=encoding)
    assert heard.encodings == {encoding}
    assert len(heard.finals) == 1
