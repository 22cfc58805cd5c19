"""A speech leaves nothing behind: no task, no session, nothing that only the garbage collector would find."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from handler_base.messages import TTSRequest
from handler_base.testing.inference import FakeTTS, hang, status
from handler_base.testing.tts_caller import TtsCaller

TIMES = 50


@pytest.fixture
def no_collector() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("values", [{}, {"stream": False}, {"format": "tape"}, {"speaker": "../x"}])
async def test_nothing_is_left(tts: TtsCaller, values: dict[str, object]) -> None:
    text = "This is the first sentence of it. Here is a second sentence."
    heard = await tts.hear()
    request = TTSRequest(text=text, **values)  # type: ignore[arg-type]  # any field
    for times in range(5):
        await tts.ask(heard, request)
        await heard.ended(times + 1)
    gc.collect()
    gc.disable()
    for times in range(TIMES):
        await tts.ask(heard, request)
        await heard.ended(times + 6)
    assert gc.collect() < TIMES


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_left_when_the_speech_server_fails(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = status(400)
    heard = await tts.hear()
    for times in range(5):
        await tts.ask(heard, TTSRequest(text="Hello there."))
        await heard.ended(times + 1)
    gc.collect()
    gc.disable()
    for times in range(TIMES):
        await tts.ask(heard, TTSRequest(text="Hello there."))
        await heard.ended(times + 6)
    assert gc.collect() < TIMES


async def test_no_task_is_left_of_cancelled_speeches(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    before = len(asyncio.all_tasks())
    sessions = [await tts.hear() for _ in range(20)]
    for heard in sessions:
        await tts.ask(heard, TTSRequest(text="This is the first sentence of it. Here is a second sentence."))
        await heard.until(lambda heard: "processing" in heard.said)
        await tts.cancel(heard)
        await heard.ended()
    await server.stop()
    assert len(asyncio.all_tasks()) <= before
    await server.start()
