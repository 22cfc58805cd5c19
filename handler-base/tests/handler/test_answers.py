"""Every question gets exactly one final answer: a result or a typed error."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgpack
import pytest

from handler_base.errors import NotFoundError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, ChatStreamChunk, Encoding, ErrorResponse, Usage, decode
from handler_base.messages.subjects import CHAT_CANCEL, CHAT_REQUEST
from handler_base.nats_client import Msg
from handler_base.testing.probe import StartService, echo
from handler_base.testing.waiting import wait_until


def answer_of(msg: Msg) -> ChatResponse:
    return decode(ChatResponse, msg.data)


def error_of(msg: Msg) -> tuple[str, str]:
    """The code and the schema of an error answer."""
    assert msg.headers is not None
    return msg.headers["Nats-Service-Error-Code"], msg.headers["Message-Type"]


async def never(_: ChatRequest, __: Context) -> ChatResponse:
    await asyncio.Event().wait()
    return ChatResponse()


async def test_the_answer_goes_to_the_inbox_and_to_the_response_subject(start: StartService) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.*")
    reply = await running.ask(ChatRequest(request_id="r1", message="hi"))
    assert answer_of(reply).response == "hi"
    published = await asyncio.wait_for(responses.get(), 5)
    assert published.subject == "ai.chat.response.r1"
    assert published.data == reply.data


async def test_a_plain_publish_is_answered_on_the_response_subject(start: StartService) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.r1")
    await running.client.publish(CHAT_REQUEST.template, msgpack.packb({"request_id": "r1", "query": "old"}))
    assert answer_of(await asyncio.wait_for(responses.get(), 5)).response == "old"


async def test_a_missing_request_id_is_made(start: StartService) -> None:
    running = await start()
    assert len(answer_of(await running.ask(ChatRequest(message="hi"))).request_id) == 36


async def test_protocol_buffers_are_answered_in_protocol_buffers(start: StartService) -> None:
    running = await start()
    reply = await running.ask(ChatRequest(message="hi"), encoding=Encoding.PROTOBUF)
    assert reply.headers is not None
    assert reply.headers["Content-Type"] == "application/x-protobuf"
    assert decode(ChatResponse, reply.data, Encoding.PROTOBUF).response == "hi"


async def test_headers_are_made_afresh(start: StartService) -> None:
    running = await start()
    reply = await running.ask(ChatRequest(message="hi"), headers={"Authorization": "secret", "X-Mine": "1"})
    assert reply.headers == {"Content-Type": "application/msgpack", "Message-Type": "messages.v1.ChatResponse"}


@pytest.mark.parametrize("body", [b"", b"\xc1", b"nonsense", b"\x81\xa7message", b"\x91" * 5000])
async def test_what_cannot_be_read_is_invalid(start: StartService, body: bytes) -> None:
    running = await start()
    reply = await running.ask(body, headers={"Content-Type": "application/msgpack"})
    assert error_of(reply) == ("400", "messages.v1.ErrorResponse")
    assert decode(ErrorResponse, reply.data).type == "invalid_request"
    assert not running.handler.calls


async def test_what_is_neither_encoding_is_answered_in_messagepack(start: StartService) -> None:
    running = await start()
    reply = await running.ask(b'{"message": "json"}')
    assert error_of(reply) == ("400", "messages.v1.ErrorResponse")
    assert msgpack.unpackb(reply.data)["type"] == "invalid_request"


async def test_another_format_is_unsupported(start: StartService) -> None:
    running = await start()
    reply = await running.ask(b"{}", headers={"content-type": "application/json"})
    assert error_of(reply)[0] == "415"


async def test_a_body_over_the_subjects_limit_is_not_even_read(start: StartService) -> None:
    running = await start()
    reply = await running.ask(ChatRequest(message="x" * 70_000))
    assert error_of(reply) == ("413", "messages.v1.ErrorResponse")


@pytest.mark.parametrize("field", ["request_id", "user_id", "session_id"])
@pytest.mark.parametrize("value", ["a.b", "*", ">", "a b", "x" * 129, "ü"])
async def test_ids_are_single_tokens(start: StartService, field: str, value: str) -> None:
    running = await start()
    reply = await running.ask(msgpack.packb({"message": "hi", field: value}))
    assert error_of(reply) == ("400", "messages.v1.ChatResponse")
    assert not answer_of(reply).success


@pytest.mark.parametrize(
    "subject",
    ["ai.chat.request", "ai.chat.user.ann.message", "$KV.cfg.key", "ai.>", "ai.*.response.x", "anything", "a b"],
)
async def test_nobody_makes_the_fleet_publish_on_a_subject_of_theirs(start: StartService, subject: str) -> None:
    running = await start()
    reply = await running.ask(ChatRequest(request_id="r1", message="hi", response_subject=subject))
    assert error_of(reply)[0] == "400"
    assert not running.handler.calls


@pytest.mark.parametrize("reply", ["ai.chat.request", "$JS.API.STREAM.DELETE.COMPANIONS_CHAT", "ai.chat.cancel.r1"])
async def test_a_reply_subject_that_is_no_inbox_is_not_used(start: StartService, reply: str) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.*")
    misused = await running.listen(reply)
    await running.client.publish(
        CHAT_REQUEST.template, msgpack.packb({"request_id": "r1", "message": "hi"}), reply=reply
    )
    await asyncio.wait_for(responses.get(), 5)
    await running.client.flush()
    assert len(running.handler.calls) == 1
    # The client's own question comes back to it where it listens to the question's subject.
    assert misused.qsize() == (1 if reply == CHAT_REQUEST.template else 0)


async def test_an_allowed_response_subject_is_used(start: StartService) -> None:
    running = await start(allowed_response_subjects=("apps.web.>",))
    answers = await running.listen("apps.web.*")
    await running.client.publish(
        CHAT_REQUEST.template, msgpack.packb({"message": "hi", "response_subject": "apps.web.7"})
    )
    assert answer_of(await asyncio.wait_for(answers.get(), 5)).response == "hi"


async def test_a_typed_error_keeps_its_type_and_text(start: StartService) -> None:
    async def missing(_: ChatRequest, __: Context) -> ChatResponse:
        raise NotFoundError("There is no such collection.")

    running = await start(missing)
    reply = await running.ask(ChatRequest(message="hi"))
    assert error_of(reply) == ("404", "messages.v1.ChatResponse")
    assert answer_of(reply).error == "There is no such collection."


async def test_a_fault_shows_none_of_its_words(start: StartService) -> None:
    async def leak(_: ChatRequest, __: Context) -> ChatResponse:
        raise KeyError("postgres://user:password@host")

    running = await start(leak)
    reply = await running.ask(ChatRequest(message="hi"))
    assert error_of(reply)[0] == "500"
    assert b"password" not in reply.data
    assert "password" not in str(reply.headers)


async def test_the_callers_deadline_ends_the_work(start: StartService) -> None:
    running = await start(never)
    reply = await running.ask(ChatRequest(message="hi"), headers={"deadline-ms": "50"})
    assert error_of(reply)[0] == "504"


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "soon", ""])
async def test_a_deadline_that_is_none_breaks_nothing(start: StartService, value: str) -> None:
    running = await start()
    reply = await running.ask(ChatRequest(message="hi"), headers={"Deadline-Ms": value})
    assert reply.headers is not None


async def test_a_cancel_message_stops_the_answer(start: StartService) -> None:
    running = await start(never)
    asking = asyncio.create_task(running.ask(ChatRequest(request_id="r1", message="hi")))
    await wait_until(lambda: running.handler.calls)
    await running.client.publish(CHAT_CANCEL.format(request_id="r1"), b"")
    assert error_of(await asking)[0] == "499"


async def test_a_cancel_message_stops_a_waiting_question_too(start: StartService) -> None:
    running = await start(never, max_concurrency=1)
    first = asyncio.create_task(running.ask(ChatRequest(request_id="r1", message="hi")))
    await wait_until(lambda: running.handler.calls)
    second = asyncio.create_task(running.ask(ChatRequest(request_id="r2", message="hi")))
    await running.client.flush()
    await running.client.publish(CHAT_CANCEL.format(request_id="r2"), b"")
    assert error_of(await second)[0] == "499"
    await running.client.publish(CHAT_CANCEL.format(request_id="r1"), b"")
    assert error_of(await first)[0] == "499"


async def test_overload_is_refused_at_once_with_a_hint(start: StartService) -> None:
    running = await start(never, max_concurrency=1, queue_size=0, drain_timeout=0)
    first = asyncio.create_task(running.ask(ChatRequest(request_id="r1", message="hi")))
    await wait_until(lambda: running.handler.calls)
    refused = await running.ask(ChatRequest(message="hi"))
    assert error_of(refused)[0] == "429"
    assert refused.headers is not None
    assert float(refused.headers["Retry-After"]) > 0
    await running.client.publish(CHAT_CANCEL.format(request_id="r1"), b"")
    await first


async def test_an_answer_over_max_payload_becomes_an_error(start: StartService) -> None:
    async def large(_: ChatRequest, context: Context) -> ChatResponse:
        return ChatResponse(response="x" * (context.max_payload + 1))

    running = await start(large)
    reply = await running.ask(ChatRequest(message="hi"))
    assert error_of(reply)[0] == "413"
    assert running.client.is_connected


@pytest.mark.parametrize(
    ("encoding", "answer"),
    [
        (Encoding.MSGPACK, ChatResponse(response="half a pair: \ud800")),
        (Encoding.PROTOBUF, ChatResponse(response="half a pair: \ud800")),
        (Encoding.PROTOBUF, ChatResponse(usage=Usage(total_tokens=2**40))),
    ],
)
async def test_an_answer_that_cannot_be_written_becomes_an_error(
    start: StartService, encoding: Encoding, answer: ChatResponse
) -> None:
    async def unwritable(_: ChatRequest, __: Context) -> ChatResponse:
        return answer

    running = await start(unwritable)
    assert error_of(await running.ask(ChatRequest(message="hi"), encoding=encoding))[0] == "500"


async def test_a_streamed_answer_is_numbered_and_ends_before_the_final_one(start: StartService) -> None:
    running = await start()
    both = await running.listen("ai.chat.response.>")
    await running.ask(ChatRequest(request_id="r1", message="a b c", enable_streaming=True))
    got = [await asyncio.wait_for(both.get(), 5) for _ in range(5)]
    chunks = [decode(ChatStreamChunk, msg.data) for msg in got[:4]]
    assert [(chunk.sequence, chunk.content, chunk.done) for chunk in chunks] == [
        (0, "a", False),
        (1, "b", False),
        (2, "c", False),
        (3, "", True),
    ]
    assert got[4].subject == "ai.chat.response.r1"


async def test_a_stream_that_fails_ends_with_its_error(start: StartService) -> None:
    async def half(request: ChatRequest, context: Context) -> ChatResponse:
        await echo(request, context)
        raise NotFoundError

    running = await start(half)
    stream = await running.listen("ai.chat.response.stream.r1")
    await running.ask(ChatRequest(request_id="r1", message="a", enable_streaming=True))
    assert decode(ChatStreamChunk, (await asyncio.wait_for(stream.get(), 5)).data).content == "a"
    last = decode(ChatStreamChunk, (await asyncio.wait_for(stream.get(), 5)).data)
    assert (last.sequence, last.done, last.type, last.error_type) == (1, True, "error", "not_found")


async def test_premium_goes_before_standard(start: StartService) -> None:
    gate = asyncio.Event()
    order: list[str] = []

    async def gated(request: ChatRequest, _: Context) -> ChatResponse:
        await gate.wait()
        order.append(request.request_id)
        return ChatResponse()

    running = await start(gated, max_concurrency=1)
    asks = []
    for name in ("first", "s1", "s2", "p1"):
        asks.append(asyncio.create_task(running.ask(ChatRequest(request_id=name, message="x", premium=name == "p1"))))
        await asyncio.sleep(0)
    await wait_until(lambda: running.service.in_flight == 4)
    gate.set()
    await asyncio.gather(*asks)
    assert order == ["first", "p1", "s1", "s2"]


async def test_a_request_sent_the_moment_start_returns_is_served(start: StartService) -> None:
    first = await start()
    for _ in range(5):
        running = await start()
        reply = await first.client.request(
            CHAT_REQUEST.template, msgpack.packb({"message": "hi"}), timeout=timedelta(seconds=5)
        )
        assert answer_of(reply).success
        assert running.service.ready
