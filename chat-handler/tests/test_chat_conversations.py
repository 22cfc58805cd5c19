"""Sessions, preferences, quotas, follow-ups and summaries, as those who chat meet them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from handler_base.errors import UpstreamUnavailableError
from handler_base.handler import Service
from handler_base.messages import ChatRequest, LoginEvent
from handler_base.sessions import Preferences, SessionStore
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, FakeTTS, status
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

StartChat = Callable[..., Awaitable[Service]]

MINUTES = "You write the minutes"


def said(message: str, *, user: str = "ann", session: str = "s1", **values: object) -> ChatRequest:
    request = ChatRequest(user_id=user, session_id=session, message=message, enable_rag=False)
    for name, value in values.items():
        setattr(request, name, value)
    return request


def prompt_of(llm: FakeLLM) -> str:
    """All of the latest prompt for an answer; summaries are asked for beside them."""
    prompts = ("\n".join(message["content"] for message in request.json["messages"]) for request in llm.requests)
    return [prompt for prompt in prompts if not prompt.startswith(MINUTES)][-1]


def searched(embeddings: FakeEmbeddings) -> str:
    """The text that was last searched for."""
    asked = embeddings.requests[-1].json["input"]
    return str(asked[0] if isinstance(asked, list) else asked)


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[SessionStore]:
    store = SessionStore(redis.url, ttl=timedelta(days=7), most_turns=10, timeout=timedelta(seconds=2))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def keeping(redis: RedisServer) -> dict[str, object]:
    """Settings of a handler that keeps sessions; generous with time, on a machine that may be busy."""
    return {"redis_url": redis.url, "memory_timeout": 2}


async def test_the_first_message_opens_a_session(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore
) -> None:
    await start(**keeping)
    await caller.ask(said("hi", username="Ann", premium=True, metadata={"app": "kiosk"}))
    (session,) = await store.sessions("ann")
    assert (session.session_id, session.kind, session.username, session.premium, session.metadata) == (
        "s1",
        "chat",
        "Ann",
        True,
        {"app": "kiosk"},
    )
    assert 0 < session.started <= session.last_activity


async def test_a_message_without_a_session_belongs_to_the_one_of_the_login(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore, llm: FakeLLM
) -> None:
    await start(**keeping)
    await caller.tell("ai.chat.user.ann.login", LoginEvent(username="Ann", timestamp=1_700_000_000))

    async def logged_in() -> bool:
        return bool(await store.sessions("ann"))

    await wait_until(logged_in)
    first = (await caller.ask(said("my word is plum", session=""))).answer
    await caller.ask(said("what is my word", session=""))
    assert first.session_id == "login-1700000000"
    assert "plum" in prompt_of(llm)


async def test_a_login_waits_for_a_store_that_is_away(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore, redis: RedisServer
) -> None:
    await start(**keeping, max_deliver=5)
    redis.kill()
    await caller.tell("ai.chat.user.ann.login", LoginEvent(username="Ann", timestamp=1_700_000_000))
    await redis.start()

    async def logged_in() -> bool:
        try:
            return bool(await store.sessions("ann"))
        except UpstreamUnavailableError:
            return False

    await wait_until(logged_in, timeout=10)


async def test_a_message_without_session_and_login_stands_alone(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore
) -> None:
    await start(**keeping)
    assert (await caller.ask(said("hi", session=""))).answer.session_id == ""
    assert await store.sessions("ann") == []


async def test_a_question_answered_twice_is_one_turn(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], llm: FakeLLM
) -> None:
    await start(**keeping)
    for _ in range(2):
        await caller.ask(said("my word is plum", request_id="r1"))
    assert prompt_of(llm).count("plum") == 1
    await caller.ask(said("next"))
    assert prompt_of(llm).count("plum") == 1


async def test_model_and_language_of_a_user_hold_where_a_question_says_nothing(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore, llm: FakeLLM
) -> None:
    await start(**keeping)
    await store.set_preferences("ann", Preferences(model="small-model", language="de"))
    await caller.ask(said("hi"))
    assert llm.requests[-1].json["model"] == "small-model"
    assert "'de'" in prompt_of(llm)
    await caller.ask(said("hi", language="fr"))
    assert "'fr'" in prompt_of(llm)


async def test_an_answer_is_spoken_in_the_voice_of_the_user(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore, tts: FakeTTS
) -> None:
    await start(**keeping)
    await store.set_preferences("ann", Preferences(voice="slt"))
    assert (await caller.ask(said("hi", enable_tts=True))).answer.audio
    assert tts.requests[-1].json["voice"] == "slt"


@pytest.mark.parametrize(("wanted", "asked", "used"), [(True, True, True), (False, True, False), (True, False, False)])
async def test_documents_are_used_when_both_the_user_and_the_question_want_them(
    start: StartChat,
    caller: ChatCaller,
    keeping: dict[str, object],
    store: SessionStore,
    *,
    wanted: bool,
    asked: bool,
    used: bool,
) -> None:
    await start(**keeping)
    await store.set_preferences("ann", Preferences(rag=wanted))
    answer = (await caller.ask(said("When does the ferry leave?", enable_rag=asked))).answer
    assert answer.used_rag is used


async def test_a_follow_up_is_searched_for_with_its_context(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], embeddings: FakeEmbeddings, llm: FakeLLM
) -> None:
    await start(**keeping)
    await caller.ask(said("When does the ferry Linnet leave?", enable_rag=True))
    await caller.ask(said("And in winter?", enable_rag=True))
    assert "winter" in searched(embeddings)
    assert "Linnet" in searched(embeddings)
    assert llm.requests[-1].json["messages"][-1]["content"].endswith("And in winter?"), "the model gets it as asked"


async def test_a_question_that_stands_alone_is_searched_for_as_it_is(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], embeddings: FakeEmbeddings
) -> None:
    await start(**keeping)
    await caller.ask(said("When does the ferry Linnet leave?", enable_rag=True))
    await caller.ask(said("Where is the observatory of Marrowick?", enable_rag=True))
    assert searched(embeddings) == "Where is the observatory of Marrowick?"


async def test_a_spent_quota_of_questions_is_told_with_a_hint(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object]
) -> None:
    await start(**keeping, quota_requests_per_minute=2)
    for _ in range(2):
        assert (await caller.ask(said("hi"))).answer.success
    refused = await caller.ask(said("one more"))
    assert (refused.error_code, refused.answer.success) == ("429", False)
    assert "quota" in refused.answer.error
    assert (await caller.ask(said("hi", user="bob"))).answer.success, "a quota is of one user"
    assert (await caller.ask(said("hi", premium=True))).answer.success, "premium draws on a quota of its own"


async def test_the_tokens_of_an_answer_are_charged(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object]
) -> None:
    await start(**keeping, quota_tokens_per_day=1)
    assert (await caller.ask(said("hi"))).answer.success
    assert (await caller.ask(said("one more"))).error_code == "429"


async def test_a_durable_question_over_the_quota_is_answered_at_once(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object]
) -> None:
    await start(**keeping, quota_requests_per_minute=1, max_deliver=5)
    assert (await caller.put(said("hi"))).answer.success
    async with asyncio.timeout(3):
        assert (await caller.put(said("again"))).error_code == "429"


async def test_a_question_that_is_tried_again_is_charged_once(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], llm: FakeLLM
) -> None:
    await start(**keeping, quota_requests_per_minute=1, max_deliver=5)
    llm.script.failures = [status(503)]
    assert (await caller.put(said("hi"))).answer.success
    assert (await caller.ask(said("one more"))).error_code == "429"


async def test_what_was_read_of_a_stopped_answer_is_remembered(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], llm: FakeLLM
) -> None:
    await start(**keeping)
    llm.script.tokens = ("The ferry ", "leaves ", *["word "] * 50)
    llm.script.tokens_per_second = 10
    asked = await caller.begin(said("when", enable_streaming=True))
    await asked.next_chunk()
    await caller.cancel(asked.request_id)
    assert (await asked.heard()).error_code == "499"
    llm.script.tokens_per_second = 0
    await caller.ask(said("and then"))
    assert "The ferry" in prompt_of(llm)


async def test_turns_over_the_budget_are_summed_up_after_an_answer(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], store: SessionStore, llm: FakeLLM
) -> None:
    def speak(messages: list[dict[str, str]]) -> list[str]:
        return ["The user's word is plum."] if messages[0]["content"].startswith(MINUTES) else ["long answer " * 20]

    llm.script.answer = speak
    await start(**keeping, history_token_budget=300)
    await caller.ask(said("my word is plum " + "and so on " * 20))
    for number in range(4):
        await caller.ask(said(f"question {number} " + "and so on " * 20))

    async def summed_up() -> bool:
        return bool((await store.unsummarised("ann", "s1"))[0])

    await wait_until(summed_up)
    await caller.ask(said("what is my word"))
    assert "The user's word is plum." in prompt_of(llm)
    assert "my word is plum and so on" not in prompt_of(llm)


async def test_a_conversation_goes_on_when_no_summary_can_be_made(
    start: StartChat, caller: ChatCaller, keeping: dict[str, object], llm: FakeLLM
) -> None:
    def speak(messages: list[dict[str, str]]) -> list[str]:
        return [""] if messages[0]["content"].startswith(MINUTES) else ["long answer " * 20]

    llm.script.answer = speak
    await start(**keeping, history_token_budget=300)
    for number in range(5):
        assert (await caller.ask(said(f"question {number} " + "and so on " * 20))).answer.success
    assert "question 3" in prompt_of(llm)
    assert "question 0" not in prompt_of(llm)
