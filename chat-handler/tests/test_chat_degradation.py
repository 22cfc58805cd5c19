"""What is away takes from an answer what it would have added, and no more; what comes back is used again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import pytest

from handler_base.handler import Service
from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings, FakeLLM, FakeReranker, hang, status
from handler_base.testing.milvus import MilvusLite, MilvusRestFront
from handler_base.testing.nats_server import free_port
from handler_base.testing.waiting import wait_until

StartChat = Callable[..., Awaitable[Service]]

QUESTION = "when does the lighthouse keeper put out the lamp"


def question(**values: object) -> ChatRequest:
    request = ChatRequest(message=QUESTION)
    for name, value in values.items():
        setattr(request, name, value)
    return request


async def readiness(service: Service) -> tuple[int, dict[str, object]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{service.health_port}/ready") as answer,
    ):
        report: dict[str, object] = (await answer.json())["degraded"]
        return answer.status, report


async def test_without_embeddings_words_alone_are_searched(chat: ChatCaller, embeddings: FakeEmbeddings) -> None:
    await embeddings.stop()
    answer = (await chat.ask(question())).answer
    assert answer.used_rag
    assert answer.sources[0].chunk_id == "lighthouse-0"
    await embeddings.start()
    asked = len(embeddings.requests)

    async def used_again() -> bool:
        return (await chat.ask(question())).answer.used_rag and len(embeddings.requests) > asked

    await wait_until(used_again, timeout=10)


async def test_without_milvus_the_model_answers_alone_and_the_documents_come_back(
    chat: ChatCaller, front: MilvusRestFront, llm: FakeLLM
) -> None:
    assert (await chat.ask(question())).answer.used_rag
    await front.stop()
    away = await chat.ask(question())
    assert (away.error_code, away.answer.success, away.answer.used_rag) == ("", True, False)
    assert away.answer.sources == []
    assert "cannot be searched" in llm.requests[-1].json["messages"][-1]["content"]
    async with MilvusRestFront(front.lite_uri, port=front.port):

        async def back() -> bool:
            return (await chat.ask(question())).answer.used_rag

        await wait_until(back, timeout=10)


async def test_a_milvus_that_comes_late_is_used(start: StartChat, milvus: MilvusLite, caller: ChatCaller) -> None:
    port = free_port()
    service = await start(milvus_port=port)
    assert service.ready
    assert not (await caller.ask(question())).answer.used_rag
    assert await readiness(service) == (200, {"vector_store": "away"})
    async with MilvusRestFront(milvus.uri, port=port):

        async def found() -> bool:
            return (await caller.ask(question())).answer.used_rag

        await wait_until(found, timeout=10)
        assert await readiness(service) == (200, {})


async def test_a_search_that_hangs_costs_its_budget_only(start: StartChat, caller: ChatCaller) -> None:
    async with FakeEmbeddings(EmbeddingsScript(always=hang())) as silent:
        await start(milvus_port=urlsplit(silent.url).port, retrieval_timeout=0.3)
        answer = (await caller.ask(question())).answer
        assert (answer.success, answer.used_rag) == (True, False)
        assert answer.latency_ms < 5000


async def test_a_late_reranker_is_skipped(start: StartChat, caller: ChatCaller, reranker: FakeReranker) -> None:
    await start(rerank_timeout=0.1)
    reranker.script.delay = 10
    answer = (await caller.ask(question(top_k=4, rerank_top_k=2))).answer
    assert (answer.used_rag, len(answer.sources)) == (True, 4)
    assert answer.timings_ms["rerank"] >= 100
    reranker.script.delay = 0
    assert len((await caller.ask(question(top_k=4, rerank_top_k=2))).answer.sources) == 2


async def test_a_reranker_that_is_away_is_skipped(chat: ChatCaller, reranker: FakeReranker) -> None:
    await reranker.stop()
    answer = (await chat.ask(question(top_k=4, rerank_top_k=2))).answer
    assert (answer.used_rag, len(answer.sources)) == (True, 4)


async def test_without_a_model_the_answer_is_a_typed_error(chat: ChatCaller, llm: FakeLLM) -> None:
    await llm.stop()
    heard = await chat.ask(question(enable_streaming=True, session_id="s1", user_id="ann"))
    answer = heard.answer
    assert heard.error_code == "503"
    assert (answer.success, answer.response, answer.user_id, answer.session_id) == (False, "", "ann", "s1")
    assert answer.error
    assert "127.0.0.1" not in answer.error
    await llm.start()

    async def back() -> bool:
        return (await chat.ask(question())).answer.success

    await wait_until(back, timeout=10)


async def test_a_durable_question_outlives_a_short_absence_of_the_model(
    start: StartChat, caller: ChatCaller, llm: FakeLLM
) -> None:
    await start(max_deliver=5)
    await llm.stop()
    asked = await caller.begin(question(), user_id="ann")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asked.final.get(), 0.3)
    await llm.start()
    heard = await asked.heard()
    assert (heard.error_code, heard.answer.success) == ("", True)


async def test_a_model_that_says_no_is_an_upstream_error(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.always = status(400)
    heard = await chat.ask(question())
    assert heard.error_code == "502"
    assert "scripted" not in heard.answer.error


async def test_an_answer_that_takes_too_long_is_over(start: StartChat, caller: ChatCaller, llm: FakeLLM) -> None:
    await start(chat_timeout=0.3)
    llm.script.always = hang()
    assert (await caller.ask(question(enable_rag=False))).error_code == "504"
    await wait_until(lambda: llm.open_streams == 0)
