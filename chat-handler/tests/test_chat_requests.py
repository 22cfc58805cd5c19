"""Greetings, logins, premium users, and questions that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from handler_base.handler import Service
from handler_base.messages import ChatRequest, GreetingRequest, GreetingResponse, LoginEvent, decode
from handler_base.nats_client import DeadLetters
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, hang
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

StartChat = Callable[..., Awaitable[Service]]


async def test_a_user_is_greeted(chat: ChatCaller) -> None:
    greetings = await chat.listen("ai.chat.user.ann.greeting.response")
    await chat.tell("ai.chat.user.ann.greeting.request", GreetingRequest(nickname="Annie", premium=True))
    said = decode(GreetingResponse, (await asyncio.wait_for(greetings.get(), 5)).data)
    assert said.user_id == "ann"
    assert "Annie" in said.greeting
    assert "premium" in said.greeting


async def test_a_login_opens_a_session(start: StartChat, caller: ChatCaller, redis: RedisServer) -> None:
    from redis.asyncio import Redis

    await start(redis_url=redis.url)
    await caller.tell("ai.chat.user.ann.login", LoginEvent(username="ann.a", premium=True, timestamp=1))
    async with Redis.from_url(redis.url, decode_responses=True) as client:

        async def noted() -> bool:
            return bool(await client.exists("fleet:session:ann:login-1"))

        await wait_until(noted)
        session = await client.hgetall("fleet:session:ann:login-1")
        assert session["premium"] == "1"
        assert session["username"] == "ann.a"
        assert 0 < await client.ttl("fleet:session:ann:login-1") <= 7 * 24 * 3600


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest(),
        ChatRequest(message="  \n "),
        ChatRequest(message="hi", top_k=0),
        ChatRequest(message="hi", top_k=-1),
        ChatRequest(message="hi", top_k=51),
        ChatRequest(message="hi", rerank_top_k=0),
        ChatRequest(message="hi", rerank_top_k=51),
        ChatRequest(message="hi", collection="no-such name; drop"),
        ChatRequest(message="hi", session_id="a.b"),
    ],
)
async def test_a_question_that_makes_no_sense_is_invalid(
    chat: ChatCaller, llm: FakeLLM, embeddings: FakeEmbeddings, request_: ChatRequest
) -> None:
    heard = await chat.ask(request_)
    assert (heard.error_code, heard.answer.success) == ("400", False)
    assert heard.answer.error
    assert heard.answer.request_id == request_.request_id
    assert llm.requests == embeddings.requests == []


async def test_a_refused_durable_question_is_answered_and_kept_aside(chat: ChatCaller) -> None:
    heard = await chat.put(ChatRequest(message="hi", top_k=99))
    assert heard.error_code == "400"

    async def buried() -> bool:
        return bool([letter async for letter in DeadLetters(chat.client).records()])

    await wait_until(buried)


async def test_a_question_longer_than_the_model_takes_is_too_large(start: StartChat, caller: ChatCaller) -> None:
    await start(llm_context_tokens=1024, llm_max_tokens=512)
    assert (await caller.ask(ChatRequest(message="word " * 4000, enable_rag=False))).error_code == "413"


async def test_premium_users_have_their_model(start: StartChat, caller: ChatCaller, llm: FakeLLM) -> None:
    await start(premium_model="large-model")
    answers = [(await caller.ask(ChatRequest(message="hi", premium=premium))).answer for premium in (True, False)]
    assert [answer.model for answer in answers] == ["large-model", "fake-model"]
    assert [request.json["model"] for request in llm.requests] == ["large-model", "fake-model"]


async def test_premium_users_go_first(start: StartChat, caller: ChatCaller, llm: FakeLLM) -> None:
    await start(max_concurrency=1)
    llm.script.always = hang()

    def question(name: str, *, premium: bool = False) -> ChatRequest:
        return ChatRequest(request_id=name, message=name, enable_rag=False, premium=premium)

    running = await caller.begin(question("running"))
    await wait_until(lambda: llm.open_streams == 1)
    waiting = [await caller.begin(question("standard")), await caller.begin(question("premium", premium=True))]
    await caller.client.flush()
    llm.script.always = None
    await caller.cancel(running.request_id)
    for asked in (running, *waiting):
        await asked.heard()
    assert [request.json["messages"][-1]["content"] for request in llm.requests] == ["running", "premium", "standard"]


async def test_more_than_waits_is_refused(start: StartChat, caller: ChatCaller, llm: FakeLLM) -> None:
    await start(max_concurrency=1, queue_size=0)
    llm.script.always = hang()
    running = await caller.begin(ChatRequest(message="hi", enable_rag=False))
    await wait_until(lambda: llm.open_streams == 1)
    assert (await caller.ask(ChatRequest(message="hi", enable_rag=False))).error_code == "429"
    await caller.cancel(running.request_id)
    await running.heard()
