"""A question leaves nothing behind that only the garbage collector would find: bodies must not wait for it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM, status

TIMES = 50


@pytest.fixture
def no_collector() -> Iterator[None]:
    yield
    gc.enable()


def said(**values: object) -> ChatRequest:
    request = ChatRequest(message="hi", enable_rag=False)
    for name, value in values.items():
        setattr(request, name, value)
    return request


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(said, id="answered"),
        pytest.param(lambda: said(enable_streaming=True), id="streamed"),
        pytest.param(lambda: said(enable_tts=True), id="spoken"),
        pytest.param(lambda: said(top_k=99), id="refused"),
        pytest.param(lambda: said(user_id="a.b"), id="malformed"),
    ],
)
async def test_nothing_is_left(chat: ChatCaller, ask: Callable[[], ChatRequest]) -> None:
    for _ in range(5):
        await chat.ask(ask())
    gc.collect()
    gc.disable()
    for _ in range(TIMES):
        await chat.ask(ask())
    assert gc.collect() < TIMES


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("streamed", [False, True])
async def test_nothing_is_left_when_the_model_fails(chat: ChatCaller, llm: FakeLLM, *, streamed: bool) -> None:
    # A server that refuses the request stays in use, so that each question makes a call.
    llm.script.always = status(400)
    for _ in range(5):
        await chat.ask(said(enable_streaming=streamed))
    gc.collect()
    gc.disable()
    for _ in range(TIMES):
        await chat.ask(said(enable_streaming=streamed))
    assert gc.collect() < TIMES
    assert len(llm.requests) >= TIMES + 5
