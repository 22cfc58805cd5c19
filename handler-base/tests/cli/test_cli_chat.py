"""`fleet chat` with a question."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from handler_base.errors import OverloadedError, UpstreamUnavailableError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, ChatStreamChunk, DocumentSource, Usage, decode, encode
from handler_base.messages.subjects import CHAT_REQUEST, CHAT_RESPONSE_STREAM
from handler_base.nats_client import Msg, NatsConnection
from handler_base.testing.nats_server import free_port
from handler_base.testing.probe import Pieces, StartService

from .conftest import Fleet, Spawn


async def grounded(request: ChatRequest, context: Context) -> ChatResponse:
    """Answer with everything that an answer may have."""
    text = "The ferry leaves at six [1]."
    if request.enable_streaming:
        stream = context.stream(CHAT_RESPONSE_STREAM.format(request_id=context.request_id), Pieces(context.request_id))
        for piece in ("The ferry ", "leaves at ", "six [1]."):
            await stream.write(piece)
    return ChatResponse(
        request_id=context.request_id,
        session_id=request.session_id,
        response=text,
        response_text=text,
        used_rag=True,
        sources=[DocumentSource(text="First run\n06:00", score=0.91, chunk_id="c-1", title="Timetable", page=2)],
        model="tiny",
        usage=Usage(prompt_tokens=12, completion_tokens=7, total_tokens=19),
        latency_ms=42.0,
        timings_ms={"llm": 30.0},
    )


async def test_the_answer_is_printed_with_its_numbered_sources(fleet: Fleet, start: StartService) -> None:
    await start(grounded)
    run = await fleet("chat", "When?")
    assert run.code == 0, run.err
    assert run.out.startswith("The ferry leaves at six [1].\n")
    assert "[1] 0.910  Timetable  (page 2, id c-1)\n        First run 06:00" in run.out
    assert "llm" not in run.out


async def test_verbose_tells_model_tokens_and_timings(fleet: Fleet, start: StartService) -> None:
    await start(grounded)
    run = await fleet("chat", "When?", "--verbose", "--no-stream", "--session", "s-1")
    assert run.out.startswith("The ferry leaves at six [1].\n")
    assert "session s-1" in run.out
    assert "model tiny, 12 + 7 tokens, documents used" in run.out
    assert "llm" in run.out
    assert "42.0 ms" in run.out


async def test_options_reach_the_request(fleet: Fleet, start: StartService) -> None:
    running = await start(grounded)
    await fleet(
        *("chat", "When?", "--no-stream", "--session", "s-1", "--user", "ann", "--collection", "docs"),
        *("--top-k", "2", "--premium", "--no-rag", "--timeout", "9"),
    )
    request, context = running.handler.calls[0]
    assert (request.session_id, request.user_id, request.collection) == ("s-1", "ann", "docs")
    assert (request.top_k, request.rerank_top_k, request.premium) == (2, 2, True)
    assert (request.enable_rag, request.enable_streaming, request.enable_tts) == (False, False, False)
    assert 0 < context.deadline.remaining() <= 9


async def test_json_is_one_object(fleet: Fleet, start: StartService) -> None:
    await start(grounded)
    answer = (await fleet("chat", "When?", "--json")).json
    assert answer["response"] == "The ferry leaves at six [1]."
    assert answer["sources"][0]["chunk_id"] == "c-1"
    assert answer["usage"]["total_tokens"] == 19
    assert answer["error_type"] == ""


async def test_an_error_is_a_line_and_a_code(fleet: Fleet, start: StartService) -> None:
    async def refuse(_: ChatRequest, __: Context) -> ChatResponse:
        raise UpstreamUnavailableError("A model server cannot be reached right now.")

    await start(refuse)
    run = await fleet("chat", "When?")
    assert run.code == 1
    assert run.err == "fleet: A model server cannot be reached right now. (upstream_unavailable)\n"
    as_json = await fleet("chat", "When?", "--json")
    assert as_json.code == 1
    assert as_json.json["error_type"] == "upstream_unavailable"
    assert as_json.json["success"] is False


async def test_an_overloaded_fleet_says_when_to_come_back(fleet: Fleet, start: StartService) -> None:
    from datetime import timedelta

    async def refuse(_: ChatRequest, __: Context) -> ChatResponse:
        raise OverloadedError(retry_after=timedelta(seconds=2))

    await start(refuse)
    run = await fleet("chat", "When?")
    assert run.code == 1
    assert "Try again in 2.0 s. (overloaded)" in run.err


async def test_a_request_that_cannot_be_read_is_told(fleet: Fleet, start: StartService) -> None:
    await start(grounded)
    run = await fleet("chat", "x" * 70_000)
    assert run.code == 1
    assert "(payload_too_large)" in run.err


async def test_nobody_listens(fleet: Fleet) -> None:
    run = await fleet("chat", "When?")
    assert run.code == 4
    assert run.err.startswith("fleet: No chat-handler is listening on nats://127.0.0.1:")
    assert run.err.endswith("start the fleet with `make run`.\n")
    assert not run.out


async def test_no_answer_in_time(fleet: Fleet, client: NatsConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.subscribe(CHAT_REQUEST.template, lambda _: None)
    await client.flush()
    run = await fleet("chat", "When?", "--timeout", "0.1")
    assert run.code == 4
    assert "No answer came within 0.1 s." in run.err


async def test_nats_cannot_be_reached(offline: Fleet) -> None:
    run = await offline("--nats-url", f"nats://user:secret@127.0.0.1:{free_port()}", "chat", "When?")
    assert run.code == 3
    assert run.err.startswith("fleet: NATS cannot be reached at nats://127.0.0.1:")
    assert "secret" not in run.err


async def test_chunks_out_of_order_are_put_in_order(fleet: Fleet, client: NatsConnection) -> None:
    def answer(msg: Msg) -> None:
        request = decode(ChatRequest, msg.data)
        subject = CHAT_RESPONSE_STREAM.format(request_id=request.request_id)
        for sequence, text in ((1, "b"), (0, "a"), (1, "b"), (3, "d"), (2, "c")):
            client.send(subject, encode(ChatStreamChunk(content=text, sequence=sequence)))
        client.send(msg.reply, encode(ChatResponse(response="abcd, and the rest")))

    await client.subscribe(CHAT_REQUEST.template, answer)
    await client.flush()
    assert (await fleet("chat", "?")).out == "abcd, and the rest\n"


async def test_an_answer_that_is_not_what_was_streamed_is_printed_whole(fleet: Fleet, client: NatsConnection) -> None:
    def answer(msg: Msg) -> None:
        request = decode(ChatRequest, msg.data)
        subject = CHAT_RESPONSE_STREAM.format(request_id=request.request_id)
        client.send(subject, encode(ChatStreamChunk(content="draft", sequence=0)))
        client.send(msg.reply, encode(ChatResponse(response="final")))

    await client.subscribe(CHAT_REQUEST.template, answer)
    await client.flush()
    assert (await fleet("chat", "?")).out == "draft\nfinal\n"


async def test_control_characters_are_not_printed(fleet: Fleet, start: StartService) -> None:
    async def hostile(_: ChatRequest, __: Context) -> ChatResponse:
        source = DocumentSource(title="\x1b[2Jwiped", text="\x9b31mred\u202e", chunk_id="\x07")
        return ChatResponse(response="\x1b]0;title\x07safe\r\n", sources=[source])

    await start(hostile)
    run = await fleet("chat", "?", "--verbose")
    assert "safe" in run.out
    assert not set("\x1b\x07\x9b\u202e\r") & set(run.out)
    as_json = await fleet("chat", "?", "--json")
    assert not set("\x1b\x07\x9b\u202e\r") & set(as_json.out)
    assert as_json.json["sources"][0]["text"] == "\x9b31mred\u202e"


async def test_speech_is_saved(fleet: Fleet, start: StartService, folder: Path) -> None:
    async def spoken(request: ChatRequest, _: Context) -> ChatResponse:
        return ChatResponse(response="hi", audio=b"RIFF" if request.enable_tts else b"", audio_format="wav")

    await start(spoken)
    run = await fleet("chat", "?", "--speak", "hi.wav")
    assert run.code == 0
    assert "Speech: hi.wav (wav)" in run.out
    assert (folder / "hi.wav").read_bytes() == b"RIFF"
    as_json = await fleet("chat", "?", "--speak", "hi.wav", "--json")
    assert (as_json.json["audio"], as_json.json["audio_file"]) == ("", "hi.wav")
    nowhere = await fleet("chat", "?", "--speak", "no/such/folder.wav")
    assert nowhere.code == 2
    assert "cannot be saved" in nowhere.err


async def test_an_answer_without_the_speech_asked_for_fails(fleet: Fleet, start: StartService, folder: Path) -> None:
    await start(grounded)
    run = await fleet("chat", "?", "--speak", "hi.wav")
    assert run.code == 1
    assert "came without speech" in run.err
    assert not (folder / "hi.wav").exists()


@pytest.mark.parametrize("as_json", [False, True])
async def test_interrupting_cancels_the_answer(spawn: Spawn, start: StartService, as_json: bool) -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def forever(_: ChatRequest, context: Context) -> ChatResponse:
        stream = context.stream(CHAT_RESPONSE_STREAM.format(request_id=context.request_id), Pieces(context.request_id))
        await stream.write("It begins")
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ChatResponse()

    await start(forever)
    process = await spawn("chat", "?", *(["--json"] if as_json else []))
    assert process.stdout is not None
    if not as_json:
        assert await asyncio.wait_for(process.stdout.readexactly(9), 10) == b"It begins"
    await asyncio.wait_for(started.wait(), 10)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
    assert cancelled.is_set()
    if as_json:
        assert b'"error_type": "cancelled"' in out
    else:
        assert err == b"fleet: The answer was cancelled.\n"


async def test_interrupting_twice_leaves_at_once(spawn: Spawn, client: NatsConnection) -> None:
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    cancels: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe(CHAT_REQUEST.template, asked.put_nowait)
    await client.subscribe("ai.chat.cancel.*", cancels.put_nowait)
    await client.flush()
    process = await spawn("chat", "?")
    await asyncio.wait_for(asked.get(), 10)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(cancels.get(), 10)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
    assert err == b""
