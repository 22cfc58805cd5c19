"""Decoders for several recordings at once, each in a thread of its own, made when they are first needed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.local.inference.transcription_audio import RATE, read_samples
from deploy.local.inference.transcription_words import Words, pronounce_by_flite, read_words
from handler_base.errors import OverloadedError

if TYPE_CHECKING:
    from deploy.local.inference.transcription_decoder import Decoder, Heard

__all__ = ["Recognizer", "Transcript", "find_recognizer"]

_LOG: Final = logging.getLogger(__name__)
_MOST_WAITING: Final = 32


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recording says.

    Attributes:
        pieces: In order; empty where nobody speaks.
        seconds: Length of the recording.
    """

    pieces: list[Heard]
    seconds: float

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(piece.text for piece in self.pieces)


class Recognizer:
    """Writes down what recordings say.

    Args:
        documents: A folder whose words are to be expected; None: general English.
        at_once: Recordings at the same time; each takes 110 MB.
    """

    def __init__(self, documents: Path | None, *, at_once: int = min(2, os.cpu_count() or 1)) -> None:
        self._documents = documents
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="recognizer")
        self._own = threading.local()
        self._decoders: list[Decoder] = []
        self._making = threading.Lock()
        self._words: Words | None = None
        self._waiting = 0
        self._closing = False

    def warm(self) -> None:
        """Make the first decoder now, in the background."""
        self._threads.submit(self._decoder)

    async def transcribe(self, recording: bytes, heard: Callable[[Heard], None] | None = None) -> Transcript:
        """Return what a recording says.

        Args:
            recording: A file.
            heard: Called on the event loop with each piece as soon as it is there.

        Raises:
            InvalidRequestError: It is not a recording, or damaged.
            UnsupportedFormatError: Its format cannot be read here.
            PayloadTooLargeError: It is too long.
            OverloadedError: Too many recordings are waiting.
        """
        if self._waiting >= _MOST_WAITING:
            raise OverloadedError
        loop = asyncio.get_running_loop()

        def tell(piece: Heard) -> None:
            if heard is not None:
                loop.call_soon_threadsafe(heard, piece)

        self._waiting += 1
        try:
            return await loop.run_in_executor(self._threads, self._transcribe, recording, tell)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Stop after the pieces that are being heard, and give back the memory."""
        self._closing = True
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()
        self._decoders.clear()

    def _transcribe(self, recording: bytes, tell: Callable[[Heard], None]) -> Transcript:
        from deploy.local.inference.transcription_decoder import Heard, regions  # noqa: PLC0415 - it may be missing

        samples = read_samples(recording)
        pieces: list[Heard] = []
        for begin, end in regions(samples):
            if self._closing:
                break
            if text := self._decoder().hear(samples[begin:end]):
                pieces.append(Heard(text, begin / 2 / RATE, end / 2 / RATE))
                tell(pieces[-1])
        return Transcript(pieces, len(samples) / 2 / RATE)

    def _decoder(self) -> Decoder:
        """Return the decoder of this thread."""
        found: Decoder | None = getattr(self._own, "decoder", None)
        if found is None:
            found = self._own.decoder = self._make()
        return found

    def _make(self) -> Decoder:
        from deploy.local.inference.transcription_decoder import Decoder, dictionary  # noqa: PLC0415 - as above

        begun = time.perf_counter()
        with self._making:
            if self._words is None and self._documents is not None:
                self._words = read_words(self._documents, dictionary(), pronounce_by_flite)
            decoder = Decoder(self._words)
            self._decoders.append(decoder)
        _LOG.info("recognizer ready after %.1f s", time.perf_counter() - begun)
        return decoder


def find_recognizer(documents: Path | None) -> Recognizer | None:
    """Return a recogniser; None where pocketsphinx is not installed, or built in another way."""
    try:
        import deploy.local.inference.transcription_decoder  # noqa: F401, PLC0415 - to see whether it can be
    except (ImportError, AttributeError, OSError):
        return None
    return Recognizer(documents)
