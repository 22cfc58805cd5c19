"""Transcription for all sessions of a replica: no more at once than it may be, finals before partials."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

from handler_base.clients import STTClient
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError
from handler_base.handler.admission import Admission

__all__ = ["Desk"]


class Desk:
    """Asks the transcription server.

    Args:
        client: Of the server.
        slots: Utterances that are transcribed at once. Others wait, one of each session.
        patience: How long a transcription may take, waiting included.
    """

    def __init__(self, client: STTClient, *, slots: int, patience: timedelta) -> None:
        self._client = client
        self._slots = Admission(slots, 0)
        self._patience = patience

    @property
    def available(self) -> bool:
        """Whether the server works."""
        return self._client.available

    async def final(self, audio: bytes, language: str) -> AsyncGenerator[tuple[str, bool]]:
        """Yield what is understood of an utterance: all so far as the server finds out, at last all of it.

        Args:
            audio: 16 kHz mono.
            language: Empty: the server finds out.

        Yields:
            The text, and whether it is the last.

        Raises:
            DeadlineExceededError: No slot was free in time.
            FleetError: The server failed, or was late.
        """
        deadline = Deadline.after(self._patience)
        text = ""
        async with self._slot():
            pieces = self._client.transcribe_stream(audio, audio_format="pcm", language=language, deadline=deadline)
            async with aclosing(pieces) as opened:
                async for piece in opened:
                    text = piece.text if piece.final else text + piece.text
                    yield text.strip(), piece.final

    async def glance(self, audio: bytes, language: str) -> str | None:
        """Return what is understood so far of an utterance that goes on; None while others have all the slots.

        Raises:
            FleetError: The server failed, or was late.
        """
        if not self._slots.free:
            return None
        deadline = Deadline.after(self._patience)
        async with self._slot():
            found = await self._client.transcribe(audio, audio_format="pcm", language=language, deadline=deadline)
        return found.text

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                # Its audio was taken: nobody could say it again.
                await self._slots.acquire(accepted=True)
        except TimeoutError:
            raise DeadlineExceededError("Transcription is behind.") from None
        began = time.perf_counter()
        try:
            yield
        finally:
            self._slots.release(time.perf_counter() - began)
