"""The pieces of a spoken answer on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from handler_base.errors import FleetError
from handler_base.messages import VoiceStreamChunk, unix_now

__all__ = ["VoicePiece", "VoiceStream"]


@dataclass(frozen=True, slots=True)
class VoicePiece:
    """A piece of an answer.

    Attributes:
        type: What it is.
        content: Text, for the types that have some.
        audio: Raw 16 bit mono samples, for `audio`.
        sample_rate: Of the samples.
    """

    type: Literal["transcription", "text", "audio"]
    content: str = ""
    audio: bytes = b""
    sample_rate: int = 0


class VoiceStream:
    """Makes the `VoiceStreamChunk` messages of one answer.

    Args:
        request_id: The question's.
    """

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def chunk(self, sequence: int, piece: VoicePiece) -> VoiceStreamChunk:
        """Return the message for a piece."""
        return VoiceStreamChunk(
            request_id=self._request_id,
            type=piece.type,
            content=piece.content,
            audio=piece.audio,
            audio_format="pcm" if piece.audio else "",
            sample_rate=piece.sample_rate,
            sequence=sequence,
            timestamp=unix_now(),
        )

    def end(self, sequence: int) -> VoiceStreamChunk:
        """Return the end marker."""
        return VoiceStreamChunk(
            request_id=self._request_id, type="done", done=True, sequence=sequence, timestamp=unix_now()
        )

    def error(self, sequence: int, error: FleetError) -> VoiceStreamChunk:
        """Return the end marker that says what went wrong."""
        return VoiceStreamChunk(
            request_id=self._request_id,
            type="error",
            content=error.message,
            done=True,
            sequence=sequence,
            timestamp=unix_now(),
            error_type=error.type.value,
        )
