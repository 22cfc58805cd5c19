"""What a handler tells of its steps, what runs beside it, and a question that was stopped or is over the quota."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from handler_base.errors import QuotaExceededError, UpstreamUnavailableError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, DomainEvent, decode
from handler_base.messages.streams import AI_EVENTS
from handler_base.messages.subjects import CHAT_CANCEL
from handler_base.nats_client import ApiError, DeadLetters, JetStreamApi, Msg
from handler_base.testing.probe import Running, StartService
from handler_base.testing.waiting import wait_until


async def tell(request: ChatRequest, context: Context) -> ChatResponse:
    context.record("message_received", text=request.question)
    context.record("response_generated", text="yes", prompt_tokens=3)
    return ChatResponse(request_id=context.request_id, response="yes")


def event_of(msg: Msg) -> DomainEvent:
    return decode(DomainEvent, msg.data)


async def test_steps_are_events_of_the_question(start: StartService) -> None:
    running = await start(tell)
    events = await running.listen("ai.chat.event.*")
    await running.ask(ChatRequest(request_id="r1", user_id="ann", session_id="s1", message="hi"))
    first, second = [event_of(await asyncio.wait_for(events.get(), 5)) for _ in range(2)]
    assert (first.id, first.user_id, first.session_id, first.request_id) == (
        "ann/r1/message_received",
        "ann",
        "s1",
        "r1",
    )
    assert (first.data, second.name, second.data) == (
        {"text": "hi"},
        "response_generated",
        {"text": "yes", "prompt_tokens": 3},
    )


async def test_a_question_that_is_tried_again_tells_its_steps_once(start: StartService) -> None:
    async def fails_once(request: ChatRequest, context: Context) -> ChatResponse:
        context.record("message_received", text=request.question)
        if context.attempt == 1:
            raise UpstreamUnavailableError
        return ChatResponse(request_id=context.request_id)

    running = await start(fails_once)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    await asyncio.wait_for(responses.get(), 10)
    await running.service.stop()
    found = await JetStreamApi(running.client).stream_info(AI_EVENTS.name)
    assert not isinstance(found, ApiError)
    assert found.state.messages == 1


async def test_events_can_be_turned_off(start: StartService) -> None:
    running = await start(tell, events=False)
    assert (await running.ask(ChatRequest(request_id="r1", message="hi"))).data
    found = await JetStreamApi(running.client).stream_info(AI_EVENTS.name)
    assert isinstance(found, ApiError)


async def test_stopping_waits_until_the_events_are_stored(start: StartService) -> None:
    running = await start(tell)
    await running.put(ChatRequest(request_id="r1", message="hi"))
    await wait_until(lambda: bool(running.handler.calls))
    await running.service.stop()
    found = await JetStreamApi(running.client).stream_info(AI_EVENTS.name)
    assert not isinstance(found, ApiError)
    assert found.state.messages == 2


async def test_a_handler_knows_that_its_caller_stopped_it(start: StartService) -> None:
    stopped: list[bool] = []

    async def waits(_: ChatRequest, context: Context) -> ChatResponse:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(context.cancelled)
        return ChatResponse()

    running = await start(waits)
    asking = asyncio.create_task(running.ask(ChatRequest(request_id="r1", message="hi")))
    await wait_until(lambda: bool(running.handler.calls))
    await running.client.publish(CHAT_CANCEL.format(request_id="r1"), b"")
    await asking
    assert stopped == [True]


async def test_a_late_handler_was_not_stopped_by_its_caller(start: StartService) -> None:
    stopped: list[bool] = []

    async def waits(_: ChatRequest, context: Context) -> ChatResponse:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(context.cancelled)
        return ChatResponse()

    running = await start(waits)
    await running.ask(ChatRequest(request_id="r1", message="hi"), headers={"Deadline-Ms": "100"})
    assert stopped == [False]


async def spent(_: ChatRequest, __: Context) -> ChatResponse:
    raise QuotaExceededError(retry_after=timedelta(seconds=7))


async def test_a_spent_quota_is_overloaded_with_a_hint(start: StartService) -> None:
    running = await start(spent)
    reply = await running.ask(ChatRequest(request_id="r1", message="hi"))
    assert reply.headers is not None
    assert (reply.headers["Nats-Service-Error-Code"], reply.headers["Retry-After"]) == ("429", "7.000")


async def test_a_durable_question_over_quota_is_answered_at_once_and_not_kept_aside(start: StartService) -> None:
    running = await start(spent)
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(request_id="r1", message="hi"))
    reply = await asyncio.wait_for(responses.get(), 5)
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error-Code"] == "429"
    await settled(running)
    assert len(running.handler.calls) == 1
    assert [record async for record in DeadLetters(running.client).records()] == []


async def settled(running: Running) -> None:
    """Wait until the stream counts the question as done."""
    api = JetStreamApi(running.client)

    async def done() -> bool:
        consumer = await api.consumer_info("COMPANIONS_CHAT", "probe")
        return not isinstance(consumer, ApiError) and consumer.num_ack_pending == 0 and consumer.num_pending == 0

    await wait_until(done)


class Beside:
    """Notes when it is started and stopped."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def start(self) -> None:
        self.seen.append("started")

    async def stop(self, budget: timedelta) -> None:
        self.seen.append("stopped" if budget else "no time")


async def test_what_runs_beside_starts_and_stops_with_the_service(start: StartService) -> None:
    beside = Beside()
    running = await start(beside=[beside])
    assert beside.seen == ["started"]
    await running.service.stop()
    assert beside.seen == ["started", "stopped"]
