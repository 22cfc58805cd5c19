"""An answer in a live session: its text on the session's stream of answers, its sound where speech is heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from handler_base.clients import SpeechChunk
from handler_base.errors import FleetError
from handler_base.handler import Context
from handler_base.handler.audio_stream import AudioStream, Chunk, Chunker
from handler_base.handler.streaming import StreamWriter
from handler_base.messages import STTStreamMessage, TTSStatus, unix_now
from handler_base.messages.subjects import STT_STREAM, TTS_AUDIO, TTS_STATUS, VOICE_RESPONSE_STREAM
from voice_assistant.outlet import TextKind
from voice_assistant.streaming import VoicePiece, VoiceStream
from voice_assistant.track import Track

__all__ = ["LiveOutlet"]

_LONGEST_CHUNK: Final = 0.1
"""Seconds of sound in one message at most."""


class LiveOutlet:
    """Sends one answer, until it is told to stop: from then on nothing of it leaves but its end.

    Args:
        context: The final transcript's.
        turn_id: Tells this answer from others of the session.
        lead: Seconds the sound may be ahead of its being played.
        on_sound: Called once, before the first sound.

    Attributes:
        stopped: Whether its listener wants no more of it.
        spoke: Whether sound of it went out.
        listened: Whether there is a listening side to be told what the session is doing.
    """

    def __init__(self, context: Context, turn_id: str, *, lead: float, on_sound: Callable[[], None]) -> None:
        self._context = context
        self._session_id = context.session_id
        self._lead = lead
        self._on_sound = on_sound
        self._chunker = Chunker(_LONGEST_CHUNK)
        subject = VOICE_RESPONSE_STREAM.format(request_id=self._session_id)
        self._text: StreamWriter[VoicePiece] = context.stream(subject, VoiceStream(turn_id))
        self._sound: StreamWriter[Chunk] | None = None
        self._played_at = 0.0
        self._status = ""
        self.stopped = False
        self.spoke = False
        self.listened = True

    async def write(self, kind: TextKind, text: str) -> None:
        """Send text."""
        if not self.stopped:
            await self._text.write(VoicePiece(kind, text))

    async def play(self, sound: SpeechChunk) -> None:
        """Send sound; returns when more is wanted."""
        if self.stopped:
            return
        stream = self._sound if self._sound is not None else await self._begin()
        for chunk in self._chunker.feed(sound):
            await self._send(stream, chunk)

    async def rest(self) -> None:
        """Send what was held back."""
        if self._sound is not None:
            for chunk in self._chunker.flush():
                await self._send(self._sound, chunk)

    async def over(self, track: Track, error: FleetError | None) -> None:
        """End the sound; returns when it can have been heard, since until then the answer can be interrupted."""
        if self._sound is not None and not self.stopped:
            await self._sound.close()
            await asyncio.sleep(max(0.0, track.until - time.monotonic()))
        if error is not None:
            await self._tell("error", error.message)

    async def close(self, error: FleetError | None = None) -> None:
        """End everything, once; what was not ended before is ended now.

        Args:
            error: Why there is not more; None where all was said, or the listener wanted no more.
        """
        if self._sound is not None:
            await self._sound.close()
            status = "cancelled" if self.stopped else "completed"
            await self._tell(status if error is None else "error", error.message if error is not None else "")
            await self._change_state("listening")
        await self._text.close(error)

    async def _begin(self) -> StreamWriter[Chunk]:
        self.spoke = True
        self._on_sound()
        await self._change_state("responding")
        await self._publish_status("processing", "")
        stream = self._context.stream(TTS_AUDIO.format(session_id=self._session_id), AudioStream(self._session_id))
        self._sound = stream
        # Only now: should this replica end before, another one is to answer.
        await self._context.begun()
        return stream

    async def _send(self, stream: StreamWriter[Chunk], chunk: Chunk) -> None:
        now = time.monotonic()
        ahead = self._played_at - now - self._lead
        if ahead > 0:
            await asyncio.sleep(ahead)
        if self.stopped:
            return
        # What comes late is played when it comes.
        self._played_at = max(self._played_at, now) + chunk.seconds
        await stream.write(chunk)

    async def _tell(self, status: str, message: str) -> None:
        if not self._status:
            self._status = status
            await self._publish_status(status, message)

    async def _publish_status(self, status: str, message: str) -> None:
        told = TTSStatus(session_id=self._session_id, status=status, message=message, timestamp=unix_now())
        await self._context.publish(TTS_STATUS.format(session_id=self._session_id), told)

    async def _change_state(self, state: str) -> None:
        if not self.listened:
            return
        told = STTStreamMessage(type="state_change", state=state)
        await self._context.publish(STT_STREAM.format(session_id=self._session_id), told)
