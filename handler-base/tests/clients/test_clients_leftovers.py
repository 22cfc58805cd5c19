"""A failed call is gone when its error is: the prompt in it must not wait for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType

import pytest

from handler_base.clients import ChatMessage, HttpEndpoints, HttpPool, LLMClient
from handler_base.clients.llm import CHAT_PATHS
from handler_base.deadline import Deadline
from handler_base.errors import FleetError
from handler_base.testing.inference import (
    Failure,
    FailureKind,
    FakeLLM,
    LLMScript,
    busy,
    error_in_stream,
    hang,
    reset,
    status,
    truncated,
)
from handler_base.testing.nats_server import free_port


class Prompt(list[ChatMessage]):
    """Messages of which one can see when they are gone."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def fail(llm: LLMClient, prompt: Prompt, *, streamed: bool, seconds: float) -> BaseException | None:
    """Make a call that fails, and return what caused its error."""
    deadline = Deadline.after(timedelta(seconds=seconds))
    try:
        if streamed:
            async for _ in llm.stream(prompt, deadline=deadline):
                pass
        else:
            await llm.complete(prompt, deadline=deadline)
    except FleetError as error:
        return error.__cause__
    raise AssertionError("the call did not fail")


def frames_and_errors() -> list[object]:
    """Return what only the garbage collector finds, of what keeps the variables of a call alive."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    return [found for found in gc.garbage if isinstance(found, (FrameType, BaseException))]


FAILURES = [
    pytest.param(status(500), id="broken"),
    pytest.param(status(400), id="refused"),
    pytest.param(busy(), id="busy"),
    pytest.param(reset(), id="reset"),
    pytest.param(truncated(), id="truncated"),
    pytest.param(error_in_stream(), id="error_in_stream"),
    pytest.param(hang(), id="hang"),
    pytest.param(Failure(kind=FailureKind.MALFORMED), id="malformed"),
]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dialect", ["auto", "openai"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_nothing_is_left_of_a_failed_call(
    pool: HttpPool, failure: Failure, dialect: str, *, streamed: bool
) -> None:
    async with FakeLLM(LLMScript(always=failure)) as server:
        http = HttpEndpoints("llm", server.url, pool=pool, known_paths=CHAT_PATHS)
        llm = LLMClient(http, model="m", dialect=dialect)
        prompt = Prompt([ChatMessage("user", "Where is the answer?")])
        gone = weakref.ref(prompt)

        await fail(llm, prompt, streamed=streamed, seconds=0.2 if failure.kind is FailureKind.HANG else 5.0)
        del prompt

        assert gone() is None
        assert frames_and_errors() == []


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_left_of_a_call_that_another_server_answered(pool: HttpPool, soon: Deadline) -> None:
    async with FakeLLM(LLMScript(always=status(500))) as broken, FakeLLM() as server:
        http = HttpEndpoints("llm", [broken.url, server.url], pool=pool, known_paths=CHAT_PATHS)
        llm = LLMClient(http, model="m")
        prompt = Prompt([ChatMessage("user", "Where is the answer?")])
        gone = weakref.ref(prompt)

        assert (await llm.complete(prompt, deadline=soon)).text == server.text
        del prompt

        assert gone() is None
        assert frames_and_errors() == []


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_left_where_no_server_is(pool: HttpPool) -> None:
    llm = LLMClient(HttpEndpoints("llm", f"http://127.0.0.1:{free_port()}", pool=pool), model="m")
    prompt = Prompt([ChatMessage("user", "Where is the answer?")])
    gone = weakref.ref(prompt)

    await fail(llm, prompt, streamed=False, seconds=5.0)
    del prompt
    # The event loop holds the refused connect until this turn of it is over.
    await asyncio.sleep(0)

    assert gone() is None
    assert frames_and_errors() == []


async def test_the_causes_of_an_error_are_told(pool: HttpPool) -> None:
    async with FakeLLM(LLMScript(always=reset())) as server:
        llm = LLMClient(HttpEndpoints("llm", server.url, pool=pool, known_paths=CHAT_PATHS), model="m")

        cause = await fail(llm, Prompt(), streamed=False, seconds=5.0)

    assert cause is not None
    assert str(cause) == "disconnected"
    assert type(cause.__cause__).__name__ == "DisconnectedError"
