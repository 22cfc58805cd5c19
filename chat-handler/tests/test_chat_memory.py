"""A conversation is remembered for its user, and only as long as the store is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from handler_base.handler import Service
from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

StartChat = Callable[..., Awaitable[Service]]


def said(message: str, *, user: str = "ann", session: str = "s1", rag: bool = False) -> ChatRequest:
    return ChatRequest(user_id=user, session_id=session, message=message, enable_rag=rag)


def prompt_of(llm: FakeLLM) -> list[tuple[str, str]]:
    """Role and text of the messages of the latest prompt, without the rules."""
    return [(message["role"], message["content"]) for message in llm.requests[-1].json["messages"][1:]]


@pytest.fixture
async def remembering(start: StartChat, caller: ChatCaller, redis: RedisServer) -> ChatCaller:
    # A generous time limit: these tests are about what is remembered, on a machine that may be busy.
    await start(redis_url=redis.url, memory_timeout=2)
    return caller


async def test_a_follow_up_sees_the_turn_before(remembering: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = ("Twice", " a day.")
    first = (await remembering.ask(said("how often does the ferry go"))).answer
    assert first.session_id == "s1"
    second = (await remembering.ask(said("and on sundays"))).answer
    assert prompt_of(llm) == [
        ("user", "how often does the ferry go"),
        ("assistant", "Twice a day."),
        ("user", "and on sundays"),
    ]
    assert "memory" in second.timings_ms


async def test_documents_and_memory_go_together(remembering: ChatCaller, llm: FakeLLM) -> None:
    await remembering.ask(said("how often does the ferry go", rag=True))
    await remembering.ask(said("and on sundays", rag=True))
    (_, asked), _, (_, now) = prompt_of(llm)
    assert asked == "how often does the ferry go", "earlier passages are not remembered"
    assert "<sources" in now


async def test_a_conversation_is_of_one_user_and_one_session(remembering: ChatCaller, llm: FakeLLM) -> None:
    await remembering.ask(said("my secret is a plum"))
    for request in (said("hi", user="bob"), said("hi", session="s2"), said("hi", session="")):
        await remembering.ask(request)
        assert prompt_of(llm) == [("user", "hi")]


async def test_a_failed_answer_is_not_remembered(remembering: ChatCaller, llm: FakeLLM) -> None:
    await llm.stop()
    assert not (await remembering.ask(said("lost"))).answer.success
    await llm.start()

    async def answered() -> bool:
        return (await remembering.ask(said("hi"))).answer.success

    await wait_until(answered, timeout=10)
    assert prompt_of(llm) == [("user", "hi")]


async def test_only_the_last_turns_are_shown(
    start: StartChat, caller: ChatCaller, redis: RedisServer, llm: FakeLLM
) -> None:
    await start(redis_url=redis.url, memory_timeout=2, history_turns=2)
    for number in range(4):
        await caller.ask(said(f"question {number}"))
    assert [text for role, text in prompt_of(llm) if role == "user"] == ["question 1", "question 2", "question 3"]


async def test_without_redis_it_answers_without_memory(
    start: StartChat, caller: ChatCaller, redis: RedisServer, llm: FakeLLM
) -> None:
    service = await start(redis_url=redis.url)
    await caller.ask(said("before"))
    redis.kill()
    heard = await caller.ask(said("after"))
    assert (heard.error_code, heard.answer.success) == ("", True)
    assert prompt_of(llm) == [("user", "after")]
    assert not service.handler.dependencies()["sessions"]
    await redis.start()

    async def remembers() -> bool:
        await caller.ask(said("again"))
        return len(prompt_of(llm)) > 1

    await wait_until(remembers, timeout=10)


async def test_a_full_redis_is_still_read(
    start: StartChat, caller: ChatCaller, redis: RedisServer, llm: FakeLLM
) -> None:
    await start(redis_url=redis.url, memory_timeout=2)
    await caller.ask(said("my word is plum"))
    async with Redis.from_url(redis.url) as client:
        await client.config_set("maxmemory", "1")
        heard = await caller.ask(said("what is my word"))
        assert heard.answer.success
        assert any("plum" in text for _, text in prompt_of(llm))
        await client.config_set("maxmemory", "0")
    await caller.ask(said("my number is seven"))
    await caller.ask(said("what is my number"))
    assert any("seven" in text for _, text in prompt_of(llm)[:-1]), "it is remembered again"


async def test_a_redis_that_hangs_costs_little(start: StartChat, caller: ChatCaller, redis: RedisServer) -> None:
    await start(redis_url=redis.url)
    await caller.ask(said("before"))
    redis.pause()
    try:
        answers = [(await caller.ask(said("meanwhile"))).answer for _ in range(5)]
    finally:
        redis.resume()
    assert all(answer.success for answer in answers)
    waited = sum(answer.timings_ms.get("memory", 0) + answer.timings_ms.get("remember", 0) for answer in answers)
    assert waited < 1000, "its time limit once, not on every question"
