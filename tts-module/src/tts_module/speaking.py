"""Several sentences made at the same time and heard one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import Final

from handler_base.clients.audio import SpeechChunk
from handler_base.errors import FleetError

__all__ = ["MOST_HELD", "Make", "Sentence", "spoken"]

Make = Callable[[str], AsyncGenerator[SpeechChunk]]
"""Begins to make the sound of a sentence; closing the generator stops it."""

MOST_HELD: Final = 256 * 1024
"""Bytes of a sentence that wait for their turn before the speech server is left waiting; 5 s at 24 kHz."""


class Sentence:
    """A sentence whose sound is being made, held back until its turn comes.

    Args:
        source: Makes the sound.
        most_held: Bytes that may wait.
    """

    def __init__(self, source: AsyncGenerator[SpeechChunk], most_held: int = MOST_HELD) -> None:
        self._source = source
        self._most_held = most_held
        self._waiting: deque[SpeechChunk] = deque()
        self._held = 0
        # Not an error yet: kept, it would hold the frames that hold it, and the sound with them.
        self._failure: Callable[[], FleetError] | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._fill())
        self._task.add_done_callback(lambda _: self._changed.set())

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return self._held

    async def next(self) -> SpeechChunk | None:
        """Return the next piece of sound; None at the end.

        Raises:
            FleetError: The speech server failed.
        """
        while not self._waiting:
            if self._task.done():
                if self._failure is not None:
                    raise self._failure()
                self._task.result()
                return None
            self._changed.clear()
            await self._changed.wait()
        piece = self._waiting.popleft()
        self._held -= len(piece.audio)
        self._room.set()
        return piece

    async def stop(self) -> None:
        """Stop making it; when this returns, the connection to the server is closed."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            # Whoever stops it does not want to know how it ended.
            self._task.exception()

    async def _fill(self) -> None:
        try:
            await self._take_all()
        except FleetError as error:
            self._failure = partial(type(error), error.message, retry_after=error.retry_after)

    async def _take_all(self) -> None:
        async with contextlib.aclosing(self._source) as source:
            async for piece in source:
                self._waiting.append(piece)
                self._held += len(piece.audio)
                self._changed.set()
                while self._held >= self._most_held:
                    self._room.clear()
                    await self._room.wait()


@contextlib.asynccontextmanager
async def spoken(texts: Sequence[str], make: Make, *, parallel: int) -> AsyncGenerator[Iterator[Sentence]]:
    """Give the sentences in their order, each with its successors already being made.

    Args:
        texts: The sentences.
        make: Begins to make one.
        parallel: How many are made at the same time.
    """
    begun: deque[Sentence] = deque()

    def in_order() -> Iterator[Sentence]:
        coming = iter(texts)
        for _ in texts:
            for text in coming:
                begun.append(Sentence(make(text)))
                if len(begun) >= parallel:
                    break
            yield begun[0]
            begun.popleft()

    try:
        yield in_order()
    finally:
        await asyncio.gather(*(sentence.stop() for sentence in begun))
