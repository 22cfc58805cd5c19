"""Where an answer goes while it is made."""

from __future__ import annotations

from typing import Literal, Protocol

from handler_base.clients import SpeechChunk
from handler_base.errors import FleetError
from handler_base.handler import Context
from handler_base.handler.streaming import StreamWriter
from handler_base.messages.subjects import VOICE_RESPONSE_STREAM
from voice_assistant.streaming import VoicePiece, VoiceStream
from voice_assistant.track import Track

__all__ = ["Outlet", "StreamOutlet", "TextKind"]

TextKind = Literal["transcription", "text"]


class Outlet(Protocol):
    """Takes an answer as it comes: its text as it is written, its sound as it is made."""

    @property
    def stopped(self) -> bool:
        """Whether the listener wants no more of it."""
        ...

    async def write(self, kind: TextKind, text: str) -> None:
        """Send text."""
        ...

    async def play(self, sound: SpeechChunk) -> None:
        """Send mono sound; returns when more is wanted."""
        ...

    async def rest(self) -> None:
        """Send what was held back: a piece of the answer has all its sound."""
        ...

    async def over(self, track: Track, error: FleetError | None) -> None:
        """End the sound; returns when it can have been heard.

        Args:
            track: All of it.
            error: Why there is not more.
        """
        ...


class StreamOutlet:
    """The stream of one recorded question, text and sound in between each other.

    Args:
        context: The question's.
        request_id: Its id.
    """

    def __init__(self, context: Context, request_id: str) -> None:
        self._context = context
        subject = VOICE_RESPONSE_STREAM.format(request_id=request_id)
        self._stream: StreamWriter[VoicePiece] = context.stream(subject, VoiceStream(request_id))

    @property
    def stopped(self) -> bool:
        """Whether a cancel message came."""
        return self._context.cancelled

    async def write(self, kind: TextKind, text: str) -> None:
        """Send text."""
        await self._stream.write(VoicePiece(kind, text))

    async def play(self, sound: SpeechChunk) -> None:
        """Send sound."""
        await self._stream.write(VoicePiece("audio", audio=sound.audio, sample_rate=sound.sample_rate))

    async def rest(self) -> None:
        """Nothing is held back."""

    async def over(self, track: Track, error: FleetError | None) -> None:
        """The stream ends with the answer."""
