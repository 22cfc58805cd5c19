"""The steps of a question as events: all of them, in order, once; and what the archive makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
import pytest

from chat_handler import ArchiveHandler, ChatSettings
from handler_base.handler import Service
from handler_base.messages import ChatRequest, DomainEvent, LoginEvent, decode
from handler_base.messages.events import CHAT_EVENTS
from handler_base.messages.streams import AI_EVENTS
from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

StartChat = Callable[..., Awaitable[Service]]


def said(message: str, **values: object) -> ChatRequest:
    request = ChatRequest(user_id="ann", session_id="s1", message=message)
    for name, value in values.items():
        setattr(request, name, value)
    return request


async def events_of(server: NatsServer, count: int) -> list[DomainEvent]:
    """Wait until the stream holds so many events, and read them with an independent client."""
    client = await nats.connect(server.url)
    try:
        js = client.jetstream()

        async def complete() -> bool:
            return (await js.stream_info(AI_EVENTS.name)).state.messages >= count

        await wait_until(complete)
        held = (await js.stream_info(AI_EVENTS.name)).state.messages
        subscription = await js.subscribe("ai.chat.event.>", stream=AI_EVENTS.name, ordered_consumer=True)
        return [decode(DomainEvent, (await subscription.next_msg(timeout=5)).data) for _ in range(held)]
    finally:
        await client.close()


def archived_at(path: Path) -> dict[str, object]:
    return {"archive_mode": "inside", "archive_url": f"sqlite:///{path / 'archive.db'}"}


async def archived(path: Path, count: int) -> list[ChatMessage]:
    """Wait until the archive holds so many messages of the conversation."""
    archive = Archive(f"sqlite:///{path / 'archive.db'}")
    await archive.open()
    found: list[ChatMessage] = []

    async def complete() -> bool:
        found[:] = await archive.messages("ann", "s1")
        return len(found) >= count

    try:
        await wait_until(complete, timeout=10)
    finally:
        await archive.close()
    return found


async def test_every_step_is_told_once_and_in_order(
    start: StartChat, caller: ChatCaller, nats: NatsServer, redis: RedisServer, tmp_path: Path
) -> None:
    await start(redis_url=redis.url, memory_timeout=2, **archived_at(tmp_path))
    await caller.tell("ai.chat.user.ann.login", LoginEvent(username="Ann", timestamp=1))
    await events_of(nats, 2)
    await caller.ask(said("When does the ferry leave?", request_id="r1", session_id=""))
    events = await events_of(nats, 8)
    told = [event.name for event in events if event.name != "message_stored"]
    assert told == list(CHAT_EVENTS[:-1])
    stored = {str(event.data["message_id"]): at for at, event in enumerate(events) if event.name == "message_stored"}
    spoken = {
        event.id: at for at, event in enumerate(events) if event.name in {"message_received", "response_generated"}
    }
    assert stored.keys() == spoken.keys()
    assert all(stored[message] > spoken[message] for message in spoken), "a message is stored after it was told"


async def test_events_name_user_conversation_and_question(
    start: StartChat, caller: ChatCaller, nats: NatsServer, redis: RedisServer
) -> None:
    await start(redis_url=redis.url, memory_timeout=2)
    answer = (await caller.ask(said("When does the ferry leave?", request_id="r1", username="Ann"))).answer
    events = await events_of(nats, 5)
    assert {(event.user_id, event.session_id, event.request_id) for event in events} == {("ann", "s1", "r1")}
    created, received, searched, asked, generated = (event.data for event in events)
    assert created == {"type": "chat", "username": "Ann", "premium": False}
    assert (received["text"], received["username"], received["language"]) == ("When does the ferry leave?", "Ann", "en")
    assert (searched["collection"], searched["hits"], searched["follow_up"]) == (
        "knowledge_base",
        len(answer.sources),
        False,
    )
    assert asked == {"model": "fake-model", "premium": False}
    assert (generated["text"], generated["status"], generated["sources"]) == (
        answer.response,
        "complete",
        len(answer.sources),
    )
    assert answer.usage is not None
    assert (generated["prompt_tokens"], generated["completion_tokens"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )


async def test_a_question_without_a_session_is_a_conversation_of_its_own(
    start: StartChat, caller: ChatCaller, nats: NatsServer
) -> None:
    await start()
    await caller.ask(said("hi", request_id="r1", session_id="", enable_rag=False))
    events = await events_of(nats, 3)
    assert [(event.name, event.session_id) for event in events] == [
        ("message_received", "r1"),
        ("inference_requested", "r1"),
        ("response_generated", "r1"),
    ]


async def test_a_stopped_answer_is_told_as_far_as_it_came(
    start: StartChat, caller: ChatCaller, nats: NatsServer, llm: FakeLLM
) -> None:
    await start()
    llm.script.tokens = ("The ferry ", *["word "] * 50)
    llm.script.tokens_per_second = 10
    asked = await caller.begin(said("when", enable_streaming=True, enable_rag=False))
    await asked.next_chunk()
    await caller.cancel(asked.request_id)
    await asked.heard()
    last = (await events_of(nats, 3))[-1]
    assert (last.name, last.data["status"]) == ("response_generated", "cancelled")
    assert str(last.data["text"]).startswith("The ferry")


async def test_a_refused_question_tells_nothing(
    start: StartChat, caller: ChatCaller, nats: NatsServer, redis: RedisServer
) -> None:
    await start(redis_url=redis.url, memory_timeout=2, quota_requests_per_minute=1)
    await caller.ask(said("hi", enable_rag=False))
    await caller.ask(said("again", enable_rag=False))
    assert "again" not in {event.data.get("text") for event in await events_of(nats, 4)}


async def test_the_chat_archives_what_is_said(start: StartChat, caller: ChatCaller, tmp_path: Path) -> None:
    await start(**archived_at(tmp_path))
    answer = (await caller.ask(said("When does the ferry leave?", premium=True))).answer
    question, reply = await archived(tmp_path, 2)
    assert (question.role, question.content, question.premium) == ("user", "When does the ferry leave?", True)
    assert (reply.role, reply.content, reply.model) == ("assistant", answer.response, "fake-model")


async def test_a_deployment_of_its_own_archives_what_the_chat_left(
    start: StartChat, caller: ChatCaller, nats: NatsServer, llm: FakeLLM, tmp_path: Path
) -> None:
    chat = await start(archive_mode="off")
    await caller.ask(said("When does the ferry leave?"))
    await chat.stop()
    settings = ChatSettings.model_validate(
        {
            "nats_url": nats.url,
            "redis_url": "none",
            "vllm_url": llm.url,
            "health_host": "127.0.0.1",
            "health_port": 0,
            **archived_at(tmp_path),
            "archive_mode": "only",
        }
    )
    service = Service(ArchiveHandler(settings))
    await service.start()
    try:
        assert [message.role for message in await archived(tmp_path, 2)] == ["user", "assistant"]
        await wait_until(lambda: service.handler.dependencies()["archive"])
    finally:
        await service.stop()


async def test_an_archive_that_cannot_be_used_degrades_and_answers_go_on(
    start: StartChat, caller: ChatCaller, tmp_path: Path
) -> None:
    service = await start(archive_mode="inside", archive_url=f"sqlite:///{tmp_path}/no/such/folder/archive.db")
    assert (await caller.ask(said("hi", enable_rag=False))).answer.success
    assert not service.handler.dependencies()["archive"]
    assert service.ready


@pytest.mark.parametrize("url", ["mysql://db/fleet", "http://db"])
async def test_an_address_of_no_database_degrades(start: StartChat, caller: ChatCaller, url: str) -> None:
    service = await start(archive_mode="inside", archive_url=url)
    assert (await caller.ask(said("hi", enable_rag=False))).answer.success
    await asyncio.sleep(0)
    assert not service.handler.dependencies()["archive"]
