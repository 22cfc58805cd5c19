"""A client of a live session that keeps everything it hears, and says what a transcription service would, for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from handler_base.messages import (
    CancelRequest,
    Encoding,
    Message,
    STTInterrupt,
    STTStreamMessage,
    STTTranscription,
    TTSAudioChunk,
    TTSStatus,
    VoiceResponse,
    VoiceStreamChunk,
    decode,
    encode,
    unix_now,
)
from handler_base.messages.subjects import (
    STT_STREAM,
    STT_TRANSCRIPTION,
    TTS_AUDIO,
    TTS_CANCEL,
    TTS_STATUS,
    VOICE_RESPONSE,
    VOICE_RESPONSE_STREAM,
)
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["LiveCaller", "LiveSession", "live_caller"]

_LONGEST_WAIT: Final = 15.0
_KINDS: Final = {
    message.__name__: message
    for message in (TTSAudioChunk, TTSStatus, VoiceResponse, VoiceStreamChunk, STTStreamMessage)
}


@dataclass
class LiveSession:
    """One session: what is said in it, and all that came back in the order in which it came.

    Attributes:
        session_id: Its id.
        client: A connection.
        came: The messages.
        times: When each came, on `time.perf_counter`.
        changed: Set when something came.
    """

    session_id: str
    client: NatsConnection
    came: list[Message] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _said: int = 0

    def note(self, msg: Msg) -> None:
        """Take what came."""
        headers = msg.headers or {}
        schema = _KINDS.get(headers.get("Message-Type", "").rpartition(".")[2])
        if schema is not None:
            self.times.append(time.perf_counter())
            self.came.append(decode(schema, msg.data, Encoding(headers["Content-Type"])))
            self.changed.set()

    @property
    def chunks(self) -> list[TTSAudioChunk]:
        """The sound, of all answers."""
        return [message for message in self.came if isinstance(message, TTSAudioChunk)]

    @property
    def statuses(self) -> list[str]:
        """Where the speeches stand."""
        return [message.status for message in self.came if isinstance(message, TTSStatus)]

    @property
    def states(self) -> list[str]:
        """What the listening side was told that the session is doing."""
        told = (message for message in self.came if isinstance(message, STTStreamMessage))
        return [message.state for message in told if message.type == "state_change"]

    @property
    def answers(self) -> list[VoiceResponse]:
        """The final answers."""
        return [message for message in self.came if isinstance(message, VoiceResponse)]

    @property
    def pieces(self) -> list[VoiceStreamChunk]:
        """The text as it came."""
        return [message for message in self.came if isinstance(message, VoiceStreamChunk)]

    @property
    def speeches(self) -> list[bytes]:
        """The sound of each answer that has ended."""
        speeches = [b""]
        for chunk in self.chunks:
            speeches[-1] += chunk.audio
            if chunk.is_last:
                speeches.append(b"")
        return speeches[:-1]

    async def say(self, transcript: str = "", *, encoding: Encoding = Encoding.MSGPACK, **values: object) -> None:
        """Publish a final transcript, as a transcription service does.

        Args:
            transcript: What was said.
            encoding: What the message is written in.
            **values: Fields of the message that are not as usual.
        """
        self._said += 1
        message = STTTranscription(
            session_id=self.session_id,
            transcript=transcript,
            sequence=self._said,
            is_final=True,
            timestamp=unix_now(),
            has_voice_activity=True,
            state="listening",
        )
        for name, value in values.items():
            setattr(message, name, value)
        await self._publish(STT_TRANSCRIPTION.format(session_id=self.session_id), message, encoding)

    async def interrupt(self) -> None:
        """Publish an interrupt, as a transcription service does."""
        message = STTInterrupt(session_id=self.session_id, timestamp=unix_now())
        await self._publish(STT_TRANSCRIPTION.format(session_id=self.session_id), message)

    async def stream(self, message: STTStreamMessage) -> None:
        """Publish what a microphone does."""
        await self._publish(STT_STREAM.format(session_id=self.session_id), message)

    async def cancel(self) -> None:
        """Have the speech stopped."""
        await self._publish(TTS_CANCEL.format(session_id=self.session_id), CancelRequest())

    async def until(self, condition: Callable[[LiveSession], object]) -> LiveSession:
        """Wait until enough has come."""
        async with asyncio.timeout(_LONGEST_WAIT):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()
        return self

    async def answered(self, times: int = 1) -> LiveSession:
        """Wait for so many answers to have ended: the stream of their text says so last."""
        return await self.until(lambda session: sum(piece.done for piece in session.pieces) >= times)

    async def _publish(self, subject: str, message: Message, encoding: Encoding = Encoding.MSGPACK) -> None:
        headers = {"Content-Type": encoding.value, "Message-Type": message.schema_name}
        await self.client.publish(subject, encode(message, encoding), headers=headers)


class LiveCaller:
    """Opens sessions.

    Args:
        client: A connection of its own.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client
        self._sessions = 0

    async def open(self, session_id: str = "") -> LiveSession:
        """Listen to a session, a new one unless it is named."""
        self._sessions += 1
        session = LiveSession(session_id or f"session-{self._sessions}", self.client)
        for subject in (TTS_AUDIO, TTS_STATUS, STT_STREAM):
            await self.client.subscribe(subject.format(session_id=session.session_id), session.note)
        for answers in (VOICE_RESPONSE, VOICE_RESPONSE_STREAM):
            await self.client.subscribe(answers.format(request_id=session.session_id), session.note)
        await self.client.flush()
        return session


@asynccontextmanager
async def live_caller(url: str) -> AsyncIterator[LiveCaller]:
    """Connect a caller to a server."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="live-caller"))
    await client.connect()
    try:
        yield LiveCaller(client)
    finally:
        await client.close()
