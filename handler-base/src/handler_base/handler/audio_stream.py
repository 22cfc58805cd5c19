"""Sound cut into chunks for the wire, as the `TTSAudioChunk` messages of one speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from handler_base.clients.audio import SpeechChunk
from handler_base.errors import FleetError
from handler_base.messages import TTSAudioChunk, unix_now

__all__ = ["BIT_DEPTH", "PCM", "SHORTEST", "AudioStream", "Chunk", "Chunker"]

PCM: Final = 1
"""`audio_encoding` of raw samples: 16 bit, little-endian."""

BIT_DEPTH: Final = 16

SHORTEST: Final = 0.02
"""Seconds of sound in a chunk; only what is left at the end of a sentence may be shorter."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message's worth of sound.

    Attributes:
        audio: Whole samples.
        sample_rate: As the server said.
        channels: 1 for mono.
        is_last: Whether it is the end of the speech.
    """

    audio: bytes
    sample_rate: int
    channels: int
    is_last: bool = False

    @property
    def seconds(self) -> float:
        """How long it takes to play."""
        return len(self.audio) / (2 * self.channels * self.sample_rate)


class Chunker:
    """Cuts sound that arrives in pieces of any size into chunks of 20 ms to a longest one.

    The last 20 ms are held back, so that the end of a speech is a chunk with sound in it, not an empty one.

    Args:
        longest: Seconds of sound in a chunk at most.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rate = 0
        self._channels = 1
        self._held = bytearray()

    def feed(self, sound: SpeechChunk) -> Iterator[Chunk]:
        """Yield the chunks that are complete now."""
        if (sound.sample_rate, sound.channels) != (self._rate, self._channels):
            yield from self.flush()
            self._rate, self._channels = sound.sample_rate, sound.channels
        self._held += sound.audio
        keep = self._bytes(SHORTEST)
        while len(self._held) >= 2 * keep:
            yield self._take(min(self._bytes(self._longest), len(self._held) - keep))

    def flush(self) -> Iterator[Chunk]:
        """Yield what was held back, at the end of a sentence that others follow."""
        if self._held:
            yield self._take(len(self._held))

    def close(self) -> Chunk:
        """Return what was held back, as the end of the speech."""
        return self._take(len(self._held), is_last=True)

    def _take(self, size: int, *, is_last: bool = False) -> Chunk:
        audio = bytes(self._held[:size])
        del self._held[:size]
        return Chunk(audio, self._rate, self._channels, is_last)

    def _bytes(self, seconds: float) -> int:
        """Return the bytes of so much sound, whole samples of all channels; one sample at the least."""
        return max(1, int(self._rate * seconds)) * 2 * self._channels


class AudioStream:
    """Makes the `TTSAudioChunk` messages of one speech.

    Args:
        session_id: Where the speech goes.
    """

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def chunk(self, sequence: int, piece: Chunk) -> TTSAudioChunk:
        """Return the message for a chunk."""
        return TTSAudioChunk(
            session_id=self._session_id,
            chunk_index=sequence,
            total_chunks=sequence + 1 if piece.is_last else 0,
            audio=piece.audio,
            is_last=piece.is_last,
            timestamp=unix_now(),
            sample_rate=piece.sample_rate,
            channels=piece.channels,
            bit_depth=BIT_DEPTH,
            audio_encoding=PCM,
        )

    def end(self, sequence: int) -> TTSAudioChunk:
        """Return an end marker without sound."""
        return TTSAudioChunk(
            session_id=self._session_id,
            chunk_index=sequence,
            total_chunks=sequence + 1,
            is_last=True,
            timestamp=unix_now(),
            bit_depth=BIT_DEPTH,
            audio_encoding=PCM,
        )

    def error(self, sequence: int, error: FleetError) -> TTSAudioChunk:
        """Return the end marker of a speech that broke off; the status tells why."""
        del error
        return self.end(sequence)
