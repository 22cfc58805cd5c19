"""What a good answer holds, and what of the question reaches the servers behind it."""

from __future__ import annotations

import pytest

from handler_base.messages import ChatRequest, Encoding
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, FakeReranker
from handler_base.testing.island import PASSAGES
from handler_base.testing.milvus import MilvusRestFront

QUESTION = "when does the lighthouse keeper put out the lamp"


def prompt_of(llm: FakeLLM) -> list[dict[str, str]]:
    """The messages of the latest prompt."""
    messages: list[dict[str, str]] = llm.requests[-1].json["messages"]
    return messages


async def test_an_answer_rests_on_the_documents(chat: ChatCaller, llm: FakeLLM) -> None:
    heard = await chat.ask(ChatRequest(user_id="ann", session_id="s1", message=QUESTION))
    answer = heard.answer
    assert heard.error_code == ""
    assert (answer.success, answer.error, answer.user_id, answer.session_id) == (True, "", "ann", "s1")
    assert answer.response == answer.response_text == llm.text
    assert answer.used_rag
    assert answer.sources[0].chunk_id == "lighthouse-0"
    assert PASSAGES["lighthouse"] in prompt_of(llm)[-1]["content"]


async def test_sources_stand_in_the_order_of_their_citation_numbers(chat: ChatCaller, llm: FakeLLM) -> None:
    answer = (await chat.ask(ChatRequest(message=QUESTION))).answer
    prompt = prompt_of(llm)[-1]["content"]
    assert len(answer.sources) == 3
    for number, source in enumerate(answer.sources, 1):
        inside = prompt.split(f'<source id="{number}"')[1].split("</source>")[0]
        assert source.text.split("<")[0] in inside
        assert source.title in inside
        assert (source.document_id, source.page) == (source.chunk_id.removesuffix("-0"), 1)
        assert source.source_url == f"island/{source.document_id}.md"
    assert answer.rag_sources == [source.title for source in answer.sources]
    scores = [source.score for source in answer.sources]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


async def test_an_answer_says_what_it_took(chat: ChatCaller) -> None:
    answer = (await chat.ask(ChatRequest(message=QUESTION, enable_streaming=True))).answer
    assert {"embed", "search", "rerank", "llm", "first_token"} <= set(answer.timings_ms)
    assert all(0 <= took <= answer.latency_ms for took in answer.timings_ms.values())
    assert answer.model == "fake-model"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 7


async def test_the_numbers_asked_for_reach_search_and_reranker(chat: ChatCaller, reranker: FakeReranker) -> None:
    answer = (await chat.ask(ChatRequest(message=QUESTION, top_k=4, rerank_top_k=2))).answer
    assert len(reranker.requests[-1].json["texts"]) == 4
    assert len(answer.sources) == 2


async def test_without_the_reranker_all_that_was_found_stays(chat: ChatCaller, reranker: FakeReranker) -> None:
    request = ChatRequest(message=QUESTION, top_k=4, rerank_top_k=2, enable_reranker=False)
    answer = (await chat.ask(request)).answer
    assert not reranker.requests
    assert len(answer.sources) == 4


async def test_another_collection_is_searched(chat: ChatCaller) -> None:
    answer = (await chat.ask(ChatRequest(message=QUESTION, collection="other_base"))).answer
    assert answer.used_rag


async def test_a_collection_that_is_not_there_is_answered_without_it(chat: ChatCaller) -> None:
    answer = (await chat.ask(ChatRequest(message=QUESTION, collection="no_such_base"))).answer
    assert (answer.success, answer.used_rag, answer.sources) == (True, False, [])


async def test_instructions_of_the_caller_come_after_the_rules(chat: ChatCaller, llm: FakeLLM) -> None:
    await chat.ask(ChatRequest(message=QUESTION, system_prompt="Speak like a pirate.", language="de"))
    system = prompt_of(llm)[0]
    assert system["role"] == "system"
    assert 0 < system["content"].index("Speak like a pirate.") < system["content"].index("'de'")


async def test_without_rag_nothing_is_searched(
    chat: ChatCaller, embeddings: FakeEmbeddings, reranker: FakeReranker, front: MilvusRestFront, llm: FakeLLM
) -> None:
    heard = await chat.ask(ChatRequest(message=QUESTION, enable_rag=False))
    assert (heard.answer.success, heard.answer.used_rag, heard.answer.sources) == (True, False, [])
    assert heard.answer.response == "The answer is in the documents."
    assert [embeddings.requests, reranker.requests, front.calls] == [[], [], []]
    assert prompt_of(llm)[-1]["content"] == QUESTION


@pytest.mark.parametrize("streaming", [True, False])
async def test_markers_that_name_no_source_are_taken_out(chat: ChatCaller, llm: FakeLLM, streaming: bool) -> None:
    llm.script.tokens = ("At dawn [", "1", "][9", "], says", " the keeper [7", "2] and [2].")
    heard = await chat.ask(ChatRequest(message=QUESTION, enable_streaming=streaming))
    assert heard.answer.response == "At dawn [1], says the keeper and [2]."
    assert heard.streamed == (heard.answer.response if streaming else "")


async def test_a_hostile_passage_cannot_leave_its_block(chat: ChatCaller, llm: FakeLLM) -> None:
    answer = (await chat.ask(ChatRequest(message="what does the gardener say about roses"))).answer
    assert answer.sources[0].chunk_id == "hostile-0"
    prompt = prompt_of(llm)
    assert [message["role"] for message in prompt] == ["system", "user"]
    content = prompt[-1]["content"]
    assert content.count("</sources>") == 1
    assert content.count("<source id=") == content.count("</source>") == len(answer.sources)
    assert content.index("publish the canary") < content.index("</sources>") < content.index("Question:")
    assert "canary" not in prompt[0]["content"]


async def test_the_same_question_in_protocol_buffers(chat: ChatCaller) -> None:
    plain = await chat.ask(ChatRequest(user_id="ann", message=QUESTION, enable_streaming=True))
    heard = await chat.ask(
        ChatRequest(user_id="ann", message=QUESTION, enable_streaming=True, top_k=5, rerank_top_k=3, language="en"),
        encoding=Encoding.PROTOBUF,
    )
    assert heard.encoding is Encoding.PROTOBUF
    assert heard.streamed == plain.streamed == heard.answer.response == plain.answer.response
    assert heard.answer.sources == plain.answer.sources
    assert heard.answer.usage == plain.answer.usage
    assert set(heard.answer.timings_ms) == set(plain.answer.timings_ms)
