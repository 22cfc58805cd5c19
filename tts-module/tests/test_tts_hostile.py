"""What no client should send: refused, at little cost, and the service goes on."""

from __future__ import annotations

import base64

import msgspec
import pytest

from handler_base.messages.subjects import TTS_REQUEST
from handler_base.testing.inference import FakeTTS
from handler_base.testing.tts_caller import TtsCaller

LARGE = 900_000


def packed(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


BODIES = {
    "not a map": msgspec.msgpack.encode([1, 2, 3]),
    "a list for text": packed(text=["Hello"]),
    "a map for text": packed(text={"a": 1}),
    "half a surrogate pair": b"\x81\xa4text\xa3\xed\xa0\x80",
    "invalid UTF-8": b"\x81\xa4text\xa2\xff\xfe",
    "nested too deep": b"\x81\xa4text" + b"\x91" * 50_000,
    "a text that is too long": packed(text="a " * (LARGE // 2)),
    "a text without an end": packed(text="a" * LARGE),
    "only blanks": packed(text=" " * LARGE),
    "only marks": packed(text="*" * 20_000),
    "open brackets": packed(text="[" * 20_000),
    "a recording of zeros": packed(text="Hello.", speaker_wav_b64="A" * LARGE),
    "a recording that is a zip": packed(text="Hello.", speaker_wav_b64=base64.b64encode(b"PK" + bytes(500_000))),
    "a number that is too large": packed(text="Hello.", sample_rate=1 << 60),
}


@pytest.mark.parametrize("name", BODIES)
async def test_it_is_refused_and_others_are_served(tts: TtsCaller, server: FakeTTS, name: str) -> None:
    heard = await tts.hear()
    await tts.client.publish(TTS_REQUEST.format(session_id=heard.session_id), BODIES[name])
    other = await tts.say("Hello there.")
    assert other.said == ["queued", "processing", "completed"]
    await heard.ended()
    assert heard.said[-1] == "error"
    assert heard.codes[-1] in {"400", "413", "415"}
    assert len(server.requests) == 1
