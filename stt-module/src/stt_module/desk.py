"""Transcription for all sessions of a replica: no more at once than it may be, finals before partials."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

from handler_base.clients import STTClient
from handler_base.deadline import Deadline
from handler_base.handler.admission import Admission

__all__ = ["Desk"]


class Desk:
    """Asks the transcription server.

    Args:
        client: Of the server.
        slots: Utterances that are transcribed at once.
        queue_size: Utterances that may wait.
        patience: How long a transcription may take, waiting included.
    """

    def __init__(self, client: STTClient, *, slots: int, queue_size: int, patience: timedelta) -> None:
        self._client = client
        self._slots = Admission(slots, queue_size)
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
            OverloadedError: As many as may wait do wait.
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
        await self._slots.acquire()
        began = time.perf_counter()
        try:
            yield
        finally:
            self._slots.release(time.perf_counter() - began)
