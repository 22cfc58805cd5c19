"""Nobody's slowness makes sound pile up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta

import pytest

from handler_base.clients.audio import SpeechChunk
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError
from handler_base.handler import Service
from handler_base.handler.audio_stream import Chunk
from handler_base.messages import TTSRequest
from handler_base.testing.inference import FakeTTS
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.tts_caller import TtsCaller
from handler_base.testing.waiting import wait_until
from tts_module.flow import WINDOW, Flow
from tts_module.speaking import MOST_HELD, Sentence, spoken

StartTts = Callable[..., Awaitable[Service]]

PIECE = SpeechChunk(b"\0" * 4800, 24_000)


class Endless:
    """Sound without end, which counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = 0

    async def make(self, _text: str) -> AsyncGenerator[SpeechChunk]:
        try:
            while True:
                self.taken += 1
                yield PIECE
        finally:
            self.closed += 1


async def test_a_sentence_that_waits_is_made_so_far_only() -> None:
    source = Endless()
    sentence = Sentence(source.make(""))
    await wait_until(lambda: sentence.held >= MOST_HELD)
    taken = source.taken
    assert sentence.held < MOST_HELD + len(PIECE.audio)
    for _ in range(3):
        assert await sentence.next() == PIECE
    await wait_until(lambda: source.taken == taken + 3)
    await sentence.stop()
    assert source.closed == 1


async def test_no_more_sentences_are_made_than_may_be() -> None:
    begun: list[str] = []

    async def make(text: str) -> AsyncGenerator[SpeechChunk]:
        begun.append(text)
        yield PIECE

    async with spoken(["one", "two", "three", "four", "five"], make, parallel=3) as in_order:
        first = next(in_order)
        while await first.next():
            pass
        assert begun == ["one", "two", "three"]
        second = next(in_order)
        while await second.next():
            pass
        await wait_until(lambda: begun == ["one", "two", "three", "four"])


@pytest.mark.parametrize("parallel", [1, 2, 3, 7])
async def test_sentences_are_heard_in_order_however_many_are_made(parallel: int) -> None:
    async def make(text: str) -> AsyncGenerator[SpeechChunk]:
        for _ in range(3):
            yield SpeechChunk(text.encode(), 24_000)

    texts = [f"{number:02}" for number in range(9)]
    heard = []
    async with spoken(texts, make, parallel=parallel) as in_order:
        for sentence in in_order:
            while piece := await sentence.next():
                heard.append(piece.audio.decode())
    assert heard == [text for text in texts for _ in range(3)]


async def test_no_more_is_sent_than_a_window_while_nats_stands_still(caller: TtsCaller, nats: NatsServer) -> None:
    chunk = Chunk(PIECE.audio, 24_000, 1)
    flow = Flow(caller.client, Deadline.after(timedelta(seconds=20)), timedelta(0))
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while True:
            await caller.client.publish("ai.voice.tts.audio.poured", chunk.audio)
            sent += len(chunk.audio)
            await flow.sent(chunk)

    async def stands_still() -> bool:
        try:
            await caller.client.flush(timeout=timedelta(seconds=0.1))
        except DeadlineExceededError:
            return True
        return False

    nats.freeze()
    await wait_until(stands_still)
    pouring = asyncio.create_task(pour())
    try:
        await wait_until(lambda: sent >= WINDOW)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sent < WINDOW + len(chunk.audio)
        nats.thaw()
        await wait_until(lambda: sent >= 4 * WINDOW)
    finally:
        nats.thaw()
        pouring.cancel()
        await asyncio.wait({pouring})


async def test_a_speech_goes_on_when_nats_does(
    start: StartTts, caller: TtsCaller, server: FakeTTS, nats: NatsServer
) -> None:
    await start()
    server.script.chunks = [b"\0" * 1_000_000] * 40
    heard = await caller.hear()
    await caller.ask(heard, TTSRequest(text="Hello there."))
    await heard.until(lambda heard: heard.chunks)
    nats.freeze()
    try:
        # The speech server is left with what nobody takes.
        await wait_until(lambda: server.open_streams == 1)
    finally:
        nats.thaw()
    await heard.ended()
    assert heard.said[-1] == "completed"
    assert len(heard.audio) == 40_000_000
    assert [chunk.chunk_index for chunk in heard.chunks] == list(range(len(heard.chunks)))


async def test_a_speech_is_no_further_ahead_than_it_may_be(start: StartTts, caller: TtsCaller, server: FakeTTS) -> None:
    await start(tts_lead=0.3, tts_timeout=5)
    server.script.chunks = [b"\0" * 48_000]
    heard = await caller.hear()
    await caller.ask(heard, TTSRequest(text="Hello there."))
    await heard.until(lambda heard: heard.chunks)
    took = await wait_until(lambda: heard.said[-1] == "completed")
    assert 0.4 <= took <= 2
    assert len(heard.audio) == 48_000


async def test_a_speech_that_is_held_back_is_cancelled_at_once(
    start: StartTts, caller: TtsCaller, server: FakeTTS
) -> None:
    await start(tts_lead=0.5)
    server.script.chunks = [b"\0" * 480_000]
    heard = await caller.hear()
    await caller.ask(heard, TTSRequest(text="Hello there."))
    await heard.until(lambda heard: len(heard.chunks) >= 5)
    await caller.cancel(heard)
    await heard.ended()
    assert heard.said[-1] == "cancelled"
    assert len(heard.audio) < 48_000
