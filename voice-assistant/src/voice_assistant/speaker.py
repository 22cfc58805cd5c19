"""Speech of an answer that is still being written: several pieces in the making, heard one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from types import TracebackType
from typing import Final, Self

from handler_base.clients import SpeechChunk, TTSClient
from handler_base.deadline import Deadline
from handler_base.errors import FleetError, InternalError
from handler_base.handler.question import detached
from handler_base.telemetry import metrics
from voice_assistant.outlet import Outlet
from voice_assistant.track import Track

__all__ = ["Speaker"]

log = logging.getLogger(__name__)

_LONGEST_CHUNK: Final = 0.2
"""Seconds of sound that go out in one message at most."""


class _Piece:
    """Words with the sound that arrives for them; None ends it, an error breaks it off."""

    __slots__ = ("sound", "words")

    def __init__(self, words: str) -> None:
        self.words = words
        self.sound: asyncio.Queue[SpeechChunk | FleetError | None] = asyncio.Queue()


class Speaker:
    """Speaks the pieces of one answer in their order; leaving its block stops everything that is not finished.

    Args:
        tts: The speech server.
        voice: Name of the voice; empty: the server's own.
        language: ISO 639-1, or empty.
        deadline: When the last sound is due.
        in_flight: Pieces that are made into speech at once.
        outlet: Gets the sound as it comes; None: it is only collected.
        keep: Whether the sound is wanted afterwards.

    Attributes:
        track: The sound so far.
        error: Why there is no more sound; None while all is well.
        started: When the first piece was asked for, on `time.perf_counter`; 0 before that.
        first_sound: When its first sound came; 0 before that.
    """

    def __init__(
        self,
        tts: TTSClient,
        *,
        voice: str,
        language: str,
        deadline: Deadline,
        in_flight: int = 3,
        outlet: Outlet | None = None,
        keep: bool = True,
    ) -> None:
        self._tts = tts
        self._voice = voice
        self._language = language
        self._deadline = deadline
        self._slots = asyncio.Semaphore(in_flight)
        self._outlet = outlet
        self._pieces: asyncio.Queue[_Piece | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._player: asyncio.Task[None] | None = None
        self.track = Track(keep=keep)
        self.error: FleetError | None = None
        self.started = 0.0
        self.first_sound = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def say(self, words: str) -> None:
        """Add a piece; its speech is asked for at once, unless too many are."""
        if self.error is not None:
            return
        if self._player is None:
            self.started = time.perf_counter()
            self._player = asyncio.create_task(self._play_all(), name="speech")
        piece = _Piece(words)
        self._pieces.put_nowait(piece)
        task = asyncio.create_task(self._fetch(piece), name="speech-piece")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait until everything was played, or cannot be: see `error`."""
        if self._player is not None:
            self._pieces.put_nowait(None)
            await self._player

    async def _stop(self) -> None:
        tasks = [task for task in (self._player, *self._tasks) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fetch(self, piece: _Piece) -> None:
        try:
            async with self._slots:
                sound = self._tts.stream(
                    piece.words, voice=self._voice, language=self._language, deadline=self._deadline
                )
                async with contextlib.aclosing(sound):
                    async for chunk in sound:
                        piece.sound.put_nowait(chunk)
        except FleetError as error:
            piece.sound.put_nowait(detached(error))
        except Exception:
            # Whatever goes wrong must end the piece, or the answer would wait for its sound until the deadline.
            metrics.SWALLOWED_ERRORS.of("speaker").inc()
            log.exception("a piece of an answer could not be spoken")
            piece.sound.put_nowait(InternalError())
        else:
            piece.sound.put_nowait(None)

    async def _play_all(self) -> None:
        try:
            while (piece := await self._pieces.get()) is not None:
                self.error = await self._play_piece(piece)
                if self.error is not None:
                    break
        except FleetError as error:
            self.error = detached(error)
        for task in self._tasks:
            task.cancel()

    async def _play_piece(self, piece: _Piece) -> FleetError | None:
        """Play one piece; return why it broke off.

        An error that was raised here would hold this frame, and so itself and all of the sound.
        """
        while (chunk := await piece.sound.get()) is not None:
            if isinstance(chunk, FleetError):
                return chunk
            if not self.first_sound:
                self.first_sound = time.perf_counter()
            # In whole samples of all channels, since what is cut is cut for one message each.
            step = max(1, int(chunk.sample_rate * _LONGEST_CHUNK)) * 2 * chunk.channels
            for start in range(0, len(chunk.audio), step):
                part = SpeechChunk(chunk.audio[start : start + step], chunk.sample_rate, chunk.channels)
                samples = self.track.add(part, time.monotonic())
                if self._outlet is not None:
                    await self._outlet.play(SpeechChunk(samples, part.sample_rate))
        self.track.end(piece.words)
        if self._outlet is not None:
            await self._outlet.rest()
        return None
