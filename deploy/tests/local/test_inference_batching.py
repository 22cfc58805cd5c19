"""The batcher: shared runs, questions first, bounded, and never on the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.encoder import SentenceEncoder
from deploy.local.inference.weights import Matrix
from handler_base.errors import OverloadedError


class CountingEncoder(SentenceEncoder):
    """Remembers how many texts each run of the model took."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[int] = []
        self.running = threading.Event()
        self.failing = False

    def encode_tokens(self, rows: Sequence[Sequence[int]]) -> Matrix:
        self.runs.append(len(rows))
        self.running.set()
        if self.failing:
            raise FloatingPointError
        return super().encode_tokens(rows)


@pytest.fixture(scope="module")
def counting() -> CountingEncoder:
    return CountingEncoder()


async def test_vectors_come_in_the_order_of_the_texts(batcher: EmbeddingBatcher, encoder: SentenceEncoder) -> None:
    texts = ["a boat", "a well, deep and cold", "a boat", "cheese"]

    embedded = await batcher.embed(texts)

    np.testing.assert_allclose(embedded.vectors, encoder.encode(texts), atol=1e-5)
    assert embedded.tokens == sum(len(row) for row in encoder.tokenize(texts))


async def test_concurrent_callers_share_runs(counting: CountingEncoder) -> None:
    counting.runs.clear()
    async with EmbeddingBatcher(counting, workers=1) as batcher:
        await asyncio.gather(*(batcher.embed([f"question number {number}"]) for number in range(40)))

    assert sum(counting.runs) == 40
    assert len(counting.runs) < 20


async def test_a_text_seen_before_costs_no_run(counting: CountingEncoder) -> None:
    async with EmbeddingBatcher(counting, workers=1) as batcher:
        first = await batcher.embed(["the same text"])
        counting.runs.clear()
        again = await batcher.embed(["the same text", "the same text"])

    assert counting.runs == []
    np.testing.assert_array_equal(again.vectors[0], first.vectors[0])
    assert again.tokens == 2 * first.tokens


async def test_only_the_texts_seen_last_are_kept(counting: CountingEncoder) -> None:
    async with EmbeddingBatcher(counting, workers=1, cache_size=2) as batcher:
        await batcher.embed(["one", "two", "three"])
        counting.runs.clear()
        await batcher.embed(["three"])
        await batcher.embed(["one"])

    assert counting.runs == [1]


async def test_a_question_goes_before_an_ingestion(counting: CountingEncoder) -> None:
    done: list[str] = []

    async def embed(name: str, texts: list[str]) -> None:
        await batcher.embed(texts)
        done.append(name)

    async with EmbeddingBatcher(counting, workers=1) as batcher:
        bulk = asyncio.create_task(embed("bulk", [f"passage {number} " + "word " * 120 for number in range(12)]))
        await asyncio.sleep(0)
        await embed("question", ["how deep is the well?"])
        await bulk

    assert done == ["question", "bulk"]


async def test_the_loop_goes_on_while_the_model_runs(batcher: EmbeddingBatcher) -> None:
    work = asyncio.create_task(batcher.embed([f"passage {number} " + "word " * 200 for number in range(4)]))
    longest = 0.0
    while not work.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - begun)

    assert longest < 0.25


async def test_a_caller_that_goes_away_is_not_worked_for(counting: CountingEncoder) -> None:
    async with EmbeddingBatcher(counting, workers=1) as batcher:
        counting.runs.clear()
        counting.running.clear()
        bulk = asyncio.create_task(batcher.embed([f"lost passage {number} " + "word " * 200 for number in range(30)]))
        assert await asyncio.to_thread(counting.running.wait, 10)
        bulk.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bulk
        await batcher.embed(["still alive"])

    assert sum(counting.runs) < 12


async def test_a_run_that_fails_is_told_and_the_next_one_works(counting: CountingEncoder) -> None:
    async with EmbeddingBatcher(counting, workers=1) as batcher:
        counting.failing = True
        with pytest.raises(FloatingPointError):
            await batcher.embed(["unlucky"])
        counting.failing = False
        await batcher.embed(["unlucky"])

    assert batcher.failures == 1


async def test_too_much_at_once_is_refused(batcher: EmbeddingBatcher) -> None:
    with pytest.raises(OverloadedError):
        await batcher.embed([str(number) for number in range(20_001)])


async def test_no_text_at_all_is_no_work(batcher: EmbeddingBatcher) -> None:
    assert (await batcher.embed([])).vectors.shape == (0, 384)
