"""Nobody makes the fleet answer itself: each question runs once, whatever it names as the place of its answer."""

from __future__ import annotations

import asyncio

import pytest

from deploy.tests.hostile.vitals import Vitals
from handler_base.messages import ChatRequest, encode
from handler_base.messages.subjects import ALL
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.service_process import ServiceProcess

# What any service takes as a question, and what NATS itself listens to.
TAKEN = [
    *(subject.template.replace("{", "").replace("}", "") for subject in ALL if set(subject.receivers) - {"client"}),
    *("$JS.API.STREAM.DELETE.COMPANIONS_CHAT", "$KV.settings.key", "$SYS.REQ.SERVER.PING", "$SRV.PING"),
]


def question(request_id: str, response_subject: str = "") -> ChatRequest:
    return ChatRequest(request_id=request_id, message="hi", enable_rag=False, response_subject=response_subject)


async def settled(caller: ChatCaller, llm: FakeLLM) -> int:
    """Ask twice over, so that whatever a loop had sent would have run; return how many runs there were before."""
    before = len(llm.requests)
    for _ in range(20):
        assert (await caller.ask(ChatRequest(message="next", enable_rag=False))).answer.success
    assert (await caller.put(ChatRequest(message="next", enable_rag=False))).answer.success
    runs = [request for request in llm.requests if request.json["messages"][-1]["content"] != "next"]
    assert len(runs) <= before
    return len(runs)


async def test_a_forbidden_response_subject_is_refused_and_nothing_runs(caller: ChatCaller, llm: FakeLLM) -> None:
    for number, subject in enumerate(TAKEN):
        heard = await caller.ask(question(f"core-{number}", subject))
        assert heard.error_code == "400", subject
        await caller.client.jetstream_publish("ai.chat.user.ann.message", encode(question(f"kept-{number}", subject)))
    assert await settled(caller, llm) == 0


async def test_a_reply_inbox_that_is_no_inbox_causes_no_second_run(caller: ChatCaller, llm: FakeLLM) -> None:
    for number, subject in enumerate(TAKEN):
        answers = await caller.listen(f"ai.chat.response.core-{number}")
        await caller.client.publish("ai.chat.request", encode(question(f"core-{number}")), reply=subject)
        await asyncio.wait_for(answers.get(), 5)
    assert await settled(caller, llm) == len(TAKEN)


@pytest.mark.parametrize("place", ["ai.chat.response.other", "ai.chat.response.stream.other", "_INBOX.other.1"])
async def test_an_allowed_response_subject_is_used_once(caller: ChatCaller, llm: FakeLLM, place: str) -> None:
    answers = await caller.listen(place)
    await caller.client.publish("ai.chat.request", encode(question("core", place)))
    await asyncio.wait_for(answers.get(), 5)
    assert await settled(caller, llm) == 1
    assert answers.empty()


async def test_the_service_counts_no_more_messages_than_were_sent(
    caller: ChatCaller, service: ServiceProcess, llm: FakeLLM
) -> None:
    vitals = Vitals(service)
    for subject in TAKEN:
        await caller.ask(question("again", subject))
    await settled(caller, llm)
    assert await vitals.answered() == len(TAKEN) + 20 + 1
