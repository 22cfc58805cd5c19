"""Durable work: answered once, tried again, or kept aside; never lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgpack

from handler_base.errors import InvalidRequestError, UpstreamUnavailableError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, decode
from handler_base.messages.subjects import CHAT_CANCEL, CHAT_RESPONSE_STREAM
from handler_base.nats_client import DeadLetter, DeadLetters, JetStreamApi
from handler_base.testing.probe import Running, StartService, echo
from handler_base.testing.waiting import wait_until

DURABLE = ("COMPANIONS_CHAT", "probe")


async def consumer_left(running: Running) -> tuple[int, int]:
    """Messages that wait, and that are held, on the server."""
    info = await JetStreamApi(running.client).consumer_info(*DURABLE)
    return info.num_pending, info.num_ack_pending  # type: ignore[union-attr]  # an ApiError fails the test


async def settled(running: Running) -> None:
    async def empty() -> bool:
        return await consumer_left(running) == (0, 0)

    await wait_until(empty)


async def buried(running: Running) -> list[DeadLetter]:
    return [record async for record in DeadLetters(running.client).records()]


async def one_buried(running: Running) -> DeadLetter:
    async def there() -> bool:
        return bool(await buried(running))

    await wait_until(there)
    (record,) = await buried(running)
    return record


async def test_a_question_from_the_stream_is_answered_once_and_settled(start: StartService) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    answer = decode(ChatResponse, (await asyncio.wait_for(responses.get(), 5)).data)
    assert (answer.response, answer.user_id) == ("hi", "ann")
    await settled(running)
    assert len(running.handler.calls) == 1


async def test_the_user_of_the_subject_is_the_user(start: StartService) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", user_id="mallory", message="hi"), user_id="ann")
    assert decode(ChatResponse, (await asyncio.wait_for(responses.get(), 5)).data).user_id == "ann"


async def test_a_greeting_shares_the_consumer(start: StartService) -> None:
    running = await start()
    greetings = await running.listen("ai.chat.user.ann.greeting.response")
    await running.client.jetstream_publish("ai.chat.user.ann.greeting.request", msgpack.packb({"nickname": "A"}))
    assert msgpack.unpackb((await asyncio.wait_for(greetings.get(), 5)).data)["greeting"] == "hello"


async def test_what_fails_for_a_while_is_tried_again_and_answered(start: StartService) -> None:
    async def second_time(request: ChatRequest, context: Context) -> ChatResponse:
        if context.attempt == 1:
            raise UpstreamUnavailableError
        return await echo(request, context)

    running = await start(second_time)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    assert decode(ChatResponse, (await asyncio.wait_for(responses.get(), 10)).data).success
    assert [context.attempt for _, context in running.handler.calls] == [1, 2]
    await settled(running)
    assert not await buried(running)


async def test_at_the_last_attempt_it_is_answered_and_kept_aside(start: StartService) -> None:
    async def down(_: ChatRequest, __: Context) -> ChatResponse:
        raise UpstreamUnavailableError

    running = await start(down, max_deliver=2)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    answer = await asyncio.wait_for(responses.get(), 10)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "503"
    record = await one_buried(running)
    assert (record.reason, record.origin.attempts) == ("upstream_unavailable", 2)
    assert record.origin.subject == "ai.chat.user.ann.message"
    await settled(running)
    assert responses.empty(), "answered once"


async def test_what_cannot_be_read_is_kept_aside_at_once(start: StartService) -> None:
    running = await start()
    await running.put(b"\xc1 not a message")
    record = await one_buried(running)
    assert (record.reason, record.payload, record.origin.attempts) == ("invalid_request", b"\xc1 not a message", 1)
    assert not running.handler.calls
    await settled(running)


async def test_an_invalid_question_is_answered_and_kept_aside(start: StartService) -> None:
    async def refuse(_: ChatRequest, __: Context) -> ChatResponse:
        raise InvalidRequestError("The message is empty.")

    running = await start(refuse)
    responses = await running.listen("ai.chat.response.r1")
    await running.put(ChatRequest(request_id="r1"))
    assert decode(ChatResponse, (await asyncio.wait_for(responses.get(), 5)).data).error == "The message is empty."
    assert (await one_buried(running)).reason == "invalid_request"


async def test_a_question_refused_in_the_handlers_own_words_is_done_with(start: StartService) -> None:
    async def refuse(request: ChatRequest, context: Context) -> ChatResponse:
        context.refusal = ChatResponse(request_id=request.request_id, success=False, response="Say it again, please.")
        raise UpstreamUnavailableError("Nothing was understood.")

    running = await start(refuse)
    responses = await running.listen("ai.chat.response.r1")
    await running.put(ChatRequest(request_id="r1", message="hm"))
    answer = await asyncio.wait_for(responses.get(), 5)
    assert decode(ChatResponse, answer.data).response == "Say it again, please."
    assert (answer.headers or {})["Nats-Service-Error-Code"] == "503"
    await settled(running)
    assert await buried(running) == []
    assert len(running.handler.calls) == 1


async def test_a_stream_that_has_begun_is_not_begun_again(start: StartService) -> None:
    async def half(request: ChatRequest, context: Context) -> ChatResponse:
        await echo(request, context)
        raise UpstreamUnavailableError

    running = await start(half)
    stream = await running.listen(CHAT_RESPONSE_STREAM.format(request_id="r1"))
    await running.put(ChatRequest(request_id="r1", message="a", enable_streaming=True))
    await one_buried(running)
    assert len(running.handler.calls) == 1
    assert stream.qsize() == 2


async def test_a_cancelled_question_is_settled(start: StartService) -> None:
    async def never(_: ChatRequest, __: Context) -> ChatResponse:
        await asyncio.Event().wait()
        return ChatResponse()

    running = await start(never)
    responses = await running.listen("ai.chat.response.r1")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    await wait_until(lambda: running.handler.calls)
    await running.client.publish(CHAT_CANCEL.format(request_id="r1"), b"")
    answer = await asyncio.wait_for(responses.get(), 5)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "499"
    await settled(running)
    assert not await buried(running)


async def test_a_question_that_waited_too_long_is_told_so(start: StartService) -> None:
    first = await start()
    await first.service.stop()
    responses = await first.listen("ai.chat.response.r1")
    await first.put(ChatRequest(request_id="r1", message="hi"))
    second = await start(max_question_age=0)
    answer = await asyncio.wait_for(responses.get(), 5)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "504"
    assert not second.handler.calls


async def test_a_new_consumer_starts_with_new_questions(start: StartService) -> None:
    first = await start()
    await first.service.stop()
    await first.client.request("$JS.API.CONSUMER.DELETE.COMPANIONS_CHAT.probe", timeout=timedelta(seconds=5))
    await first.put(ChatRequest(request_id="old", message="hi"))
    second = await start()
    responses = await second.listen("ai.chat.response.*")
    await second.put(ChatRequest(request_id="new", message="hi"))
    assert (await asyncio.wait_for(responses.get(), 5)).subject == "ai.chat.response.new"


async def test_a_handler_four_times_longer_than_ack_wait_runs_once(start: StartService) -> None:
    finish = asyncio.Event()

    async def long(request: ChatRequest, context: Context) -> ChatResponse:
        await finish.wait()
        return await echo(request, context)

    running = await start(long, ack_wait=0.5)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    asyncio.get_running_loop().call_later(2.0, finish.set)
    await asyncio.wait_for(responses.get(), 5)
    await settled(running)
    assert len(running.handler.calls) == 1


async def test_stopping_finishes_what_runs(start: StartService) -> None:
    finish = asyncio.Event()

    async def wait(request: ChatRequest, context: Context) -> ChatResponse:
        await finish.wait()
        return await echo(request, context)

    running = await start(wait)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    await wait_until(lambda: running.handler.calls)
    stopping = asyncio.create_task(running.service.stop())
    await wait_until(lambda: not running.service.ready)
    finish.set()
    await asyncio.wait_for(responses.get(), 5)
    await stopping


async def test_what_does_not_finish_in_time_goes_to_another_replica(start: StartService) -> None:
    async def never(_: ChatRequest, __: Context) -> ChatResponse:
        await asyncio.Event().wait()
        return ChatResponse()

    first = await start(never, drain_timeout=0)
    responses = await first.listen("ai.chat.response.*")
    await first.put(ChatRequest(request_id="r1", message="hi"))
    await wait_until(lambda: first.handler.calls)
    asking = asyncio.create_task(first.ask(ChatRequest(request_id="r2", message="hi")))
    await wait_until(lambda: len(first.handler.calls) == 2)
    await first.service.stop()
    refused = await asking
    assert refused.headers is not None
    assert refused.headers["Nats-Service-Error-Code"] == "429", "a caller is told to try again"
    await start()
    answered = {(await asyncio.wait_for(responses.get(), 5)).subject for _ in range(2)}
    assert answered == {"ai.chat.response.r1", "ai.chat.response.r2"}


async def test_work_whose_answer_has_begun_is_settled_and_leaves_its_slot(start: StartService) -> None:
    go_on = asyncio.Event()

    async def listened_to(request: ChatRequest, context: Context) -> ChatResponse:
        assert context.position == len(request.message)
        await context.begun()
        await context.begun()
        await go_on.wait()
        return await echo(request, context)

    running = await start(listened_to, max_concurrency=1)
    for message in ("a", "bb", "ccc"):
        await running.put(ChatRequest(request_id=message, message=message))
    await wait_until(lambda: len(running.handler.calls) == 3)
    await settled(running)
    assert running.service.in_flight == 3
    go_on.set()
    await wait_until(lambda: running.service.in_flight == 0)
    await settled(running)
    assert len(running.handler.calls) == 3
