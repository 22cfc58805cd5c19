"""The sound of an answer so far, and how much of it can have been heard."""

from __future__ import annotations

from array import array

from handler_base.clients import SpeechChunk
from handler_base.errors import UpstreamError

__all__ = ["Track", "mono"]


class Track:
    """Collects the sound of an answer, piece by piece.

    A listener plays what arrives from the moment it arrives, without a pause while there is something to play. So a
    piece can have been heard only when as much time has passed as the sound up to its end takes.

    Args:
        keep: Whether the samples are wanted afterwards.

    Attributes:
        audio: Raw 16 bit mono samples of everything so far; empty where they are not kept.
        size: Bytes of everything so far.
        sample_rate: Samples a second; 0 while there are none.
        until: When all of it can have been heard, on the clock of `add`.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.audio = bytearray()
        self.size = 0
        self.sample_rate = 0
        self.until = 0.0
        self._keep = keep
        self._pieces: list[tuple[str, float]] = []

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self.size / 2 / self.sample_rate if self.sample_rate else 0.0

    def add(self, chunk: SpeechChunk, now: float) -> bytes:
        """Add sound that is sent at this moment; return it as it is to be sent.

        Raises:
            UpstreamError: Its rate is not the one of the sound before it.
        """
        if self.sample_rate not in {0, chunk.sample_rate}:
            raise UpstreamError("The speech server changed the sample rate in the middle of an answer.")
        samples = mono(chunk)
        self.sample_rate = chunk.sample_rate
        self.size += len(samples)
        if self._keep:
            self.audio += samples
        self.until = max(self.until, now) + len(samples) / 2 / chunk.sample_rate
        return samples

    def end(self, words: str) -> None:
        """Note that the sound up to here says these words, after those of the pieces before."""
        self._pieces.append((words, self.until))

    def heard(self, now: float) -> str:
        """Return the words that can have been heard by this moment: of whole pieces only."""
        return " ".join(words for words, until in self._pieces if until <= now)


def mono(chunk: SpeechChunk) -> bytes:
    """Return the samples of the first channel."""
    if chunk.channels == 1:
        return chunk.audio
    return array("h", chunk.audio)[:: chunk.channels].tobytes()
