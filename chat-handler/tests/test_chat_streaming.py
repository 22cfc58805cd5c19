"""Answers in pieces: numbered, gathered, ended once, and the same text as the final answer."""

from __future__ import annotations

import asyncio

from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller, Heard
from handler_base.testing.inference import FakeLLM, error_in_stream, hang, reset, truncated
from handler_base.testing.waiting import wait_until

TOKENS = (*(f"word{number} " for number in range(63)), "end.")


def question(*, streaming: bool | None = True) -> ChatRequest:
    return ChatRequest(message="tell me", enable_rag=False, enable_streaming=streaming)


def assert_whole(heard: Heard) -> None:
    """Numbered from 0 without gaps, one end marker, and the text of the answer."""
    assert [chunk.sequence for chunk in heard.chunks] == list(range(len(heard.chunks)))
    assert [chunk.type for chunk in heard.chunks] == ["chunk"] * len(heard.pieces) + ["done"]
    assert [chunk.done for chunk in heard.chunks] == [False] * len(heard.pieces) + [True]
    assert {chunk.request_id for chunk in heard.chunks} == {heard.answer.request_id}
    assert all(chunk.timestamp > 0 for chunk in heard.chunks)
    assert heard.streamed == heard.answer.response


async def test_tokens_that_come_in_a_burst_leave_in_a_handful_of_pieces(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = TOKENS
    llm.script.burst = 64
    heard = await chat.ask(question())
    assert_whole(heard)
    assert heard.answer.response == "".join(TOKENS)
    assert 1 <= len(heard.pieces) <= 4


async def test_tokens_a_few_milliseconds_apart_are_gathered(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = TOKENS
    llm.script.tokens_per_second = 200
    heard = await chat.ask(question())
    assert_whole(heard)
    # 64 tokens take 320 ms at the least; in gathers of 25 ms that is at most 14, and slower servers need more.
    took = heard.answer.timings_ms["llm"]
    assert 2 <= len(heard.pieces) <= took / 25 + 2


async def test_slow_tokens_are_not_held_back(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = ("one ", "two ", "three")
    llm.script.always = hang(after=1)
    asked = await chat.begin(question())
    assert (await asked.next_chunk()).content.strip() == "one"
    await chat.cancel(asked.request_id)
    await asked.heard()


async def test_the_subject_says_whether_to_stream(chat: ChatCaller) -> None:
    durable = await chat.put(question(streaming=None))
    assert_whole(durable)
    assert durable.pieces
    asked = await chat.ask(question(streaming=None))
    assert asked.chunks == ()
    assert asked.answer.response == durable.answer.response


async def test_a_durable_question_need_not_be_streamed(chat: ChatCaller) -> None:
    heard = await chat.put(question(streaming=False))
    assert heard.chunks == ()
    assert heard.answer.user_id == "ann"


async def test_an_answer_from_a_server_that_does_not_stream(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.streams = False
    heard = await chat.ask(question())
    assert_whole(heard)
    assert len(heard.pieces) == 1


async def test_an_empty_answer_is_an_empty_stream(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = ()
    heard = await chat.ask(question())
    assert_whole(heard)
    assert heard.chunks[-1].sequence == 0


async def test_cancel_closes_the_connection_to_the_model(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens = TOKENS
    llm.script.always = hang(after=3)
    asked = await chat.begin(question())
    await asked.next_chunk()
    assert llm.open_streams == 1
    await chat.cancel(asked.request_id)
    heard = await asked.heard()
    assert (heard.error_code, heard.answer.success) == ("499", False)
    assert (heard.chunks[-1].type, heard.chunks[-1].error_type, heard.chunks[-1].done) == ("error", "cancelled", True)
    await wait_until(lambda: llm.open_streams == 0)
    assert llm.disconnects == 1


async def test_cancel_of_a_durable_question_settles_it(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.always = hang(after=1)
    asked = await chat.begin(question(), user_id="ann")
    await asked.next_chunk()
    await chat.cancel(asked.request_id)
    assert (await asked.heard()).error_code == "499"
    assert asked.final.empty()
    await wait_until(lambda: llm.open_streams == 0)


async def test_cancel_while_nothing_is_streamed(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.always = hang()
    asked = await chat.begin(question(streaming=False))
    await wait_until(lambda: llm.open_streams == 1)
    await chat.cancel(asked.request_id)
    assert (await asked.heard()).error_code == "499"
    await wait_until(lambda: llm.open_streams == 0)


async def test_a_model_that_fails_in_the_middle_ends_the_stream_with_the_error(chat: ChatCaller, llm: FakeLLM) -> None:
    for failure in (truncated(after=4), error_in_stream(after=4)):
        llm.script.failures = [failure]
        heard = await chat.ask(question())
        assert heard.error_code == "502"
        assert not heard.answer.success
        assert heard.answer.error
        assert "scripted" not in heard.answer.error
        last = heard.chunks[-1]
        assert (last.type, last.done) == ("error", True)
        assert last.error_type == "upstream_error"
        assert [chunk.sequence for chunk in heard.chunks] == list(range(len(heard.chunks)))
    assert (await chat.ask(question())).answer.success


async def test_a_stream_cut_in_the_middle_is_not_answered_a_second_time(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.failures = [reset(after=4)]
    asked = await chat.begin(question(), user_id="ann")
    # A reset may take away what came before it: then the stream has not begun.
    assert (await asked.heard()).error_code in {"502", "503"}
    assert len(llm.requests) == 1


async def test_answers_side_by_side_keep_their_pieces(chat: ChatCaller, llm: FakeLLM) -> None:
    llm.script.tokens_per_second = 500
    llm.script.answer = lambda messages: [f"{messages[-1]['content']} "] * 20
    requests = [ChatRequest(message=f"q{n}", enable_rag=False, enable_streaming=True) for n in range(20)]
    for number, heard in enumerate(await asyncio.gather(*map(chat.ask, requests))):
        assert_whole(heard)
        assert heard.answer.response.split() == [f"q{number}"] * 20
