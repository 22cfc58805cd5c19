"""Shapes of older publishers, written by an independent MessagePack library."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
import pytest

from handler_base.errors import InvalidRequestError
from handler_base.messages import (
    ChatRequest,
    ChatResponse,
    DocumentSource,
    LoginEvent,
    Message,
    PipelineTrigger,
    STTStreamMessage,
    TTSRequest,
    VoiceRequest,
    decode,
)

AUDIO = bytes(range(256)) * 8
TEXT = base64.b64encode(AUDIO).decode()


def test_query_in_place_of_message() -> None:
    assert decode(ChatRequest, msgpack.packb({"query": "When does the ferry leave?"})).question == (
        "When does the ferry leave?"
    )


def test_message_goes_before_query() -> None:
    assert decode(ChatRequest, msgpack.packb({"query": "old", "message": "new"})).question == "new"


@pytest.mark.parametrize(
    "body",
    [
        {"audio": TEXT},
        {"audio_b64": TEXT},
        {"audio": None, "audio_b64": TEXT},
        {"audio": b"", "audio_b64": TEXT},
        {"audio": "", "audio_b64": TEXT},
        {"audio": AUDIO, "audio_b64": "ignored, for the contract's key goes first"},
        {"audio": AUDIO, "sample_rate": 16000.0},
        {"audio": AUDIO, "audio_b64": None, "sample_rate": 8000.0},
    ],
    ids=[
        "text",
        "b64",
        "b64 and nil",
        "b64 and no bytes",
        "b64 and no text",
        "both",
        "float beside bytes",
        "nil beside",
    ],
)
@pytest.mark.parametrize("schema", [VoiceRequest, STTStreamMessage])
def test_audio_as_text(schema: type[VoiceRequest | STTStreamMessage], body: dict[str, Any]) -> None:
    assert decode(schema, msgpack.packb(body)).audio == AUDIO


@pytest.mark.parametrize("length", [0, 1, 20, 200, 60_000, 400_000])
def test_audio_as_text_of_every_length(length: int) -> None:
    audio = b"\xff" * length
    body = {"audio": base64.b64encode(audio).decode(), "language": "de"}
    message = decode(VoiceRequest, msgpack.packb(body))
    assert (message.audio, message.language) == (audio, "de")


@pytest.mark.parametrize("text", ["not base64!", "QUJ", "QUJD\n", "Ünïcode", "\U0001f600"])
def test_text_that_is_no_base64_is_invalid(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        decode(VoiceRequest, msgpack.packb({"audio": text}))


@pytest.mark.parametrize(
    ("schema", "field", "sent", "read"),
    [
        (LoginEvent, "timestamp", 1763678400.25, 1763678400),
        (LoginEvent, "timestamp", "1763678400", 1763678400),
        (LoginEvent, "premium", 1, True),
        (LoginEvent, "user_id", 42, "42"),
        (LoginEvent, "nickname", None, ""),
        (ChatRequest, "top_k", 7.0, 7),
        (ChatRequest, "top_k", None, 5),
        (ChatRequest, "enable_streaming", 0, False),
        (ChatRequest, "enable_streaming", None, None),
        (ChatRequest, "metadata", {"a": 1, "b": True, "c": None}, {"a": "1", "b": "true", "c": ""}),
        (ChatRequest, "metadata", None, {}),
        (ChatResponse, "sources", None, []),
        (ChatResponse, "latency_ms", 12, 12.0),
        (ChatResponse, "latency_ms", "12.5", 12.5),
        (ChatResponse, "sources", [{"text": "a", "score": 1}], [DocumentSource(text="a", score=1.0)]),
        (TTSRequest, "stream", 0, False),
        (
            PipelineTrigger,
            "parameters",
            {"epochs": 3, "rate": 0.5, "dry_run": False, "name": "x"},
            {"epochs": "3", "rate": "0.5", "dry_run": "false", "name": "x"},
        ),
    ],
)
def test_old_shapes(schema: type[Message], field: str, sent: object, read: object) -> None:
    value = getattr(decode(schema, msgpack.packb({field: sent})), field)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (ChatRequest, {"top_k": "five"}),
        (ChatRequest, {"top_k": True}),
        (ChatRequest, {"top_k": 1e400}),
        (ChatRequest, {"top_k": "9" * 400}),
        (ChatRequest, {"message": ["a"]}),
        (ChatRequest, {"message": b"bytes"}),
        (ChatRequest, {"metadata": [1]}),
        (ChatRequest, {"metadata": {"a": {"b": 1}}}),
        (ChatRequest, {"enable_rag": "yes"}),
        (LoginEvent, {"timestamp": 2**63}),
        (LoginEvent, {"timestamp": float("nan")}),
        (VoiceRequest, {"audio": 7}),
        (VoiceRequest, {"audio": [TEXT]}),
        (VoiceRequest, {"audio_b64": b"bytes", "audio": "x"}),
        (ChatResponse, {"sources": [7]}),
    ],
)
def test_other_shapes_are_invalid(schema: type[Message], body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=f"not a valid {schema.__name__}"):
        decode(schema, msgpack.packb(body))
