"""Sentence vectors for many callers at once: batched, cached, and computed off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from deploy.local.inference.encoder import DIMENSION, SentenceEncoder
from deploy.local.inference.weights import Matrix
from handler_base.errors import OverloadedError

__all__ = ["Embedded", "EmbeddingBatcher"]

_BATCH_TOKENS: Final = 512
"""Work of one model run; it bounds how long a question waits behind an ingestion (about 0.15 s on one core)."""
_QUESTION_TEXTS: Final = 8
"""A call of up to this many texts goes before larger ones."""
_MAX_QUEUED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of some texts.

    Attributes:
        vectors: One row of length 1 a text: shape (texts, 384).
        tokens: Tokens the texts have together, after truncation.
    """

    vectors: Matrix
    tokens: int


@dataclass(frozen=True, slots=True)
class _Job:
    tokens: list[int]
    done: asyncio.Future[Matrix]

    def finish(self, vector: Matrix) -> None:
        if not self.done.done():
            self.done.set_result(vector)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class EmbeddingBatcher:
    """Puts the texts of concurrent calls into shared model runs.

    Use it as an async context manager.

    Args:
        encoder: The model.
        workers: Model runs at once, one thread each.
        cache_size: Vectors kept of texts seen last (1.5 KB each).

    Attributes:
        failures: Runs of the model that failed.
    """

    def __init__(self, encoder: SentenceEncoder, *, workers: int = 2, cache_size: int = 16_384) -> None:
        self.failures = 0
        self._encoder = encoder
        self._workers = workers
        self._cache_size = cache_size
        self._cache: OrderedDict[bytes, tuple[Matrix, int]] = OrderedDict()
        self._questions: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._wake = asyncio.Condition()
        self._executor = ThreadPoolExecutor(workers + 1, thread_name_prefix="encoder")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in (*self._questions, *self._bulk):
            job.done.cancel()
        self._executor.shutdown(wait=True)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Return the vectors of `texts`, in their order.

        Raises:
            OverloadedError: Too many texts are waiting already.
        """
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache}.items())
        known = {key: self._cache[key] for key in keys if key in self._cache}
        if missing:
            known.update(await self._encode(missing))
        for key in keys:
            self._remember(key, known[key])
        vectors = np.stack([known[key][0] for key in keys]) if keys else np.empty((0, DIMENSION), dtype=np.float32)
        return Embedded(vectors, sum(known[key][1] for key in keys))

    async def _encode(self, missing: list[tuple[bytes, str]]) -> dict[bytes, tuple[Matrix, int]]:
        if len(self._questions) + len(self._bulk) + len(missing) > _MAX_QUEUED:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._executor, self._encoder.tokenize, [text for _, text in missing])
        jobs = [_Job(row, loop.create_future()) for row in rows]
        (self._questions if len(jobs) <= _QUESTION_TEXTS else self._bulk).extend(jobs)
        async with self._wake:
            self._wake.notify_all()
        try:
            vectors = await asyncio.gather(*(job.done for job in jobs))
        finally:
            for job in jobs:
                job.done.cancel()
        pairs = zip(missing, rows, vectors, strict=True)
        return {key: (vector, len(row)) for (key, _), row, vector in pairs}

    def _remember(self, key: bytes, entry: tuple[Matrix, int]) -> None:
        self._cache[key] = entry
        self._cache.move_to_end(key)
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    def _take(self) -> list[_Job]:
        """Return what one model run takes: questions first; nobody waits for callers that went away."""
        batch: list[_Job] = []
        room = _BATCH_TOKENS
        for queue in (self._questions, self._bulk):
            while queue and (not batch or len(queue[0].tokens) <= room):
                job = queue.popleft()
                if not job.done.done():
                    batch.append(job)
                    room -= len(job.tokens)
        return batch

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._wake:
                await self._wake.wait_for(lambda: self._questions or self._bulk)
            batch = self._take()
            if not batch:
                continue
            rows = [job.tokens for job in batch]
            try:
                vectors = await loop.run_in_executor(self._executor, self._encoder.encode_tokens, rows)
            except Exception as error:  # noqa: BLE001 - the callers get it; the worker must live on for the next batch
                self.failures += 1
                for job in batch:
                    job.fail(error)
                continue
            for job, vector in zip(batch, vectors, strict=True):
                job.finish(vector.copy())
