"""`fleet publish`."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import msgspec
import pytest

from handler_base.cli.rendering import MESSAGES
from handler_base.errors import UpstreamError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, Encoding, Message, VoiceRequest, decode
from handler_base.messages.streams import STREAMS
from handler_base.messages.subjects import ALL, Subject
from handler_base.nats_client import Msg, NatsConnection, StreamManager
from handler_base.testing.probe import StartService, echo

from .conftest import Fleet

EVERY = [
    pytest.param(subject, kind, id=f"{subject.template}-{kind.__name__}")
    for subject in ALL
    for kind in subject.messages
]


def concrete(subject: Subject) -> str:
    return subject.format(**dict.fromkeys(subject.placeholders, "x1"))


def sample(kind: type[Message]) -> dict[str, object]:
    """A JSON object with a value of its own for every plain field of a message."""
    values: dict[object, object] = {
        str: "text",
        int: 7,
        float: 0.5,
        bool: True,
        bytes: base64.b64encode(b"\0\1").decode(),
    }
    fields = msgspec.structs.fields(kind)
    return {field.name: values[field.type] for field in fields if field.type in values}


@pytest.mark.parametrize(("subject", "kind"), EVERY)
async def test_every_message_of_the_contract(
    fleet: Fleet, client: NatsConnection, subject: Subject, kind: type[Message]
) -> None:
    await StreamManager(client).ensure(STREAMS)
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe(concrete(subject), arrived.put_nowait)
    await client.flush()
    given = sample(kind)
    run = await fleet("publish", concrete(subject), "-", "--type", kind.__name__, stdin=json.dumps(given))
    assert run.code == 0, run.err
    assert f"Published {kind.__name__}, " in run.out
    msg = await asyncio.wait_for(arrived.get(), 5)
    assert msg.headers is not None
    assert msg.headers["Message-Type"] == kind.schema_name
    message = decode(kind, msg.data, Encoding(msg.headers["Content-Type"]))
    seen = msgspec.to_builtins(message)
    assert {name: seen[name] for name in given} == given


def test_every_message_is_known_by_its_name() -> None:
    assert {kind for subject in ALL for kind in subject.messages} <= set(MESSAGES.values())


async def test_durable_work_is_stored(fleet: Fleet, client: NatsConnection, folder: Path) -> None:
    (folder / "q.json").write_text('{"message": "hi"}', encoding="utf-8")
    missing = await fleet("publish", "ai.chat.user.ann.message", "q.json")
    assert missing.code == 4
    assert "Stream COMPANIONS_CHAT does not store ai.chat.user.ann.message" in missing.err
    await StreamManager(client).ensure(STREAMS)
    run = await fleet("publish", "ai.chat.user.ann.message", "q.json")
    assert run.out.endswith("on ai.chat.user.ann.message, stored in COMPANIONS_CHAT as 1.\n")


async def test_the_reply_is_printed(fleet: Fleet, start: StartService) -> None:
    await start(echo)
    run = await fleet("publish", "ai.chat.request", "-", "--reply", stdin='{"message": "hi"}')
    assert run.code == 0, run.err
    assert run.json["response"] == "hi"


async def test_an_error_reply_is_printed_and_fails(fleet: Fleet, start: StartService) -> None:
    async def refuse(_: ChatRequest, __: Context) -> ChatResponse:
        raise UpstreamError

    await start(refuse)
    run = await fleet("publish", "ai.chat.request", "-", "--reply", stdin='{"message": "hi"}')
    assert run.code == 1
    assert run.json["success"] is False
    assert run.err == "fleet: A model server answered with an error. (upstream_error)\n"


async def test_nobody_replies(fleet: Fleet, client: NatsConnection) -> None:
    run = await fleet("publish", "ai.chat.request", "-", "--reply", stdin="{}")
    assert run.code == 4
    assert "No service is listening on ai.chat.request" in run.err
    await client.subscribe("ai.chat.request", lambda _: None)
    await client.flush()
    late = await fleet("publish", "ai.chat.request", "-", "--reply", "--timeout", "0.1", stdin="{}")
    assert late.code == 4
    assert "No answer came within 0.1 s" in late.err


async def test_the_message_is_told_by_its_fields(fleet: Fleet, client: NatsConnection) -> None:
    await StreamManager(client).ensure(STREAMS)
    run = await fleet("publish", "ai.voice.transcription.s1", "-", stdin='{"transcript": "hi", "is_final": true}')
    assert "Published STTTranscription" in run.out
    other = await fleet("publish", "ai.voice.tts.audio.s1", "-", stdin='{"chunk_index": 3}')
    assert "Published TTSAudioChunk" in other.out


async def test_bytes_come_from_a_file_beside_the_json(fleet: Fleet, client: NatsConnection, folder: Path) -> None:
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe("ai.voice.request", arrived.put_nowait)
    await client.flush()
    beside = folder / "beside"
    beside.mkdir()
    (beside / "a.wav").write_bytes(b"RIFF\0")
    (beside / "v.json").write_text('{"audio": "@a.wav"}', encoding="utf-8")
    assert (await fleet("publish", "ai.voice.request", "beside/v.json")).code == 0
    assert decode(VoiceRequest, (await asyncio.wait_for(arrived.get(), 5)).data).audio == b"RIFF\0"
    missing = await fleet("publish", "ai.voice.request", "-", stdin='{"audio": "@a.wav"}')
    assert missing.code == 2
    assert "audio: " in missing.err
    assert "cannot be read (No such file or directory)" in missing.err


@pytest.mark.parametrize(
    ("subject", "text", "told"),
    [
        ("ai.chat.request", '{"top_k": "five"}', "ChatRequest.top_k: expected int, got str."),
        ("ai.chat.request", '{"metadata": {"a": 1}}', "ChatRequest.metadata[...]: expected str, got int."),
        ("ai.chat.request", '{"mesage": "hi"}', "ChatRequest has no field mesage; did you mean message?"),
        ("ai.chat.request", '{"zzz": 1}', "ChatRequest has no field zzz; it has request_id, user_id"),
        ("ai.chat.response.r1", '{"sources": [{"sco": 1}]}', "no field sources[0].sco; did you mean score?"),
        ("ai.chat.response.r1", '{"sources": [{"score": "x"}]}', "sources[0].score: expected float, got str."),
        ("ai.chat.response.r1", '{"sources": [5]}', "sources[0]: expected object, got int."),
        ("ai.chat.response.r1", '{"usage": {"total_tokens": 1.5}}', "usage.total_tokens: expected int, got float."),
        ("ai.chat.response.r1", '{"usage": 5}', "usage: expected object | null, got int."),
        ("ai.voice.request", '{"audio": "?"}', "audio: this is not base64; a file is written as @FILE."),
        ("ai.voice.request", '{"audio": 5}', "audio: bytes are written as base64, or as @FILE."),
        ("ai.chat.request", "[]", "The JSON must be an object"),
        ("ai.chat.request", "{", "This is not JSON"),
        ("ai.chat.request", "[" * 100_000, "This is not JSON"),
        ("ai.chat.requests", "{}", "no subject of the contract. Did you mean ai.chat.request"),
        ("other", "{}", "It has: ai.chat.user.{user_id}.login, "),
        ("ai.chat.user.a b.message", "{}", "user_id must be 1 to 128"),
        ("ai.dlq.S.c", "{}", "`fleet dlq` reads and replays it."),
    ],
)
async def test_what_is_wrong_is_named(offline: Fleet, subject: str, text: str, told: str) -> None:
    run = await offline("publish", subject, "-", stdin=text)
    assert run.code == 2
    assert told in run.err
    assert run.err.count("\n") == 1


async def test_a_type_of_another_subject(offline: Fleet) -> None:
    run = await offline("publish", "ai.voice.tts.audio.s1", "-", "--type", "ChatRequest", stdin="{}")
    assert run.code == 2
    assert "it takes TTSAudioChunk or TTSFullResponse" in run.err


async def test_files_that_cannot_be_read(offline: Fleet, folder: Path) -> None:
    missing = await offline("publish", "ai.chat.request", "missing.json")
    assert missing.code == 2
    assert "missing.json cannot be read" in missing.err
    (folder / "binary").write_bytes(b"\xff\xfe")
    binary = await offline("publish", "ai.chat.request", "binary")
    assert binary.code == 2
    assert "is not UTF-8 text" in binary.err


async def test_what_does_not_fit_a_message(fleet: Fleet) -> None:
    run = await fleet("publish", "ai.chat.request", "-", stdin=json.dumps({"message": "x" * 2_000_000}))
    assert run.code == 2
    assert "bytes are too large; this server takes 1048576" in run.err


async def test_protocol_buffers_are_answered_in_kind(fleet: Fleet, start: StartService) -> None:
    running = await start(echo)
    arrived = await running.listen("ai.chat.request")
    run = await fleet("publish", "ai.chat.request", "-", "--reply", "--protobuf", stdin='{"message": "hi"}')
    assert run.code == 0, run.err
    assert run.json["response"] == "hi"
    msg = await asyncio.wait_for(arrived.get(), 5)
    assert msg.headers is not None
    assert msg.headers["Content-Type"] == "application/x-protobuf"
    assert decode(ChatRequest, msg.data, Encoding.PROTOBUF).message == "hi"
