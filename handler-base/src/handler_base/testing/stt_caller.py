"""A client that speaks into live sessions and keeps everything it hears of them, for tests and benches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from handler_base.messages import Encoding, STTInterrupt, STTStreamMessage, STTTranscription, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["HeardSession", "SttCaller", "stt_caller"]

_LONGEST_WAIT: Final = 15.0


@dataclass
class HeardSession:
    """All that came for one session, in the order in which it came.

    Attributes:
        session_id: The session.
        told: Every transcription.
        interrupts: Every interrupt.
        codes: The error code of each error.
        encodings: What the messages were written in.
        changed: Set when something came.
    """

    session_id: str
    told: list[STTTranscription] = field(default_factory=list)
    interrupts: list[STTInterrupt] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    encodings: set[Encoding] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, msg: Msg) -> None:
        """Take what came."""
        headers = msg.headers or {}
        encoding = Encoding(headers["Content-Type"])
        self.encodings.add(encoding)
        if headers["Message-Type"].endswith("STTInterrupt"):
            self.interrupts.append(decode(STTInterrupt, msg.data, encoding))
        else:
            told = decode(STTTranscription, msg.data, encoding)
            self.told.append(told)
            if told.error_type:
                self.codes.append(headers.get("Nats-Service-Error-Code", ""))
        self.changed.set()

    @property
    def finals(self) -> list[STTTranscription]:
        """What was understood for good."""
        return [one for one in self.told if one.is_final]

    @property
    def partials(self) -> list[STTTranscription]:
        """What was understood so far."""
        return [one for one in self.told if one.is_partial]

    @property
    def errors(self) -> list[str]:
        """The types of the errors that are no finals."""
        return [one.error_type for one in self.told if one.error_type and not one.is_final]

    @property
    def over(self) -> bool:
        """Whether the session ended."""
        return any(one.state == "ended" for one in self.told)

    async def until(self, condition: Callable[[HeardSession], object], timeout: float = _LONGEST_WAIT) -> HeardSession:
        """Wait until enough has come."""
        async with asyncio.timeout(timeout):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()
        return self

    async def ended(self) -> HeardSession:
        """Wait for the end of the session."""
        return await self.until(lambda heard: heard.over)


class SttCaller:
    """Speaks into sessions.

    Args:
        client: A connection of its own.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client
        self._sessions = 0

    async def hear(self, session_id: str = "") -> HeardSession:
        """Listen to a session, a new one unless it is named."""
        self._sessions += 1
        heard = HeardSession(session_id or f"session-{self._sessions}")
        await self.client.subscribe(STT_TRANSCRIPTION.format(session_id=heard.session_id), heard.note)
        await self.client.flush()
        return heard

    async def send(
        self, heard: HeardSession, kind: str, *, encoding: Encoding = Encoding.MSGPACK, **values: object
    ) -> None:
        """Send a step of a session."""
        message = STTStreamMessage(type=kind, **values)  # type: ignore[arg-type]  # any field
        await self.client.publish(STT_STREAM.format(session_id=heard.session_id), encode(message, encoding))

    async def speak(
        self,
        heard: HeardSession,
        audio: bytes,
        *,
        step: int = 3200,
        pace: float = 0.0,
        first: int = 1,
        encoding: Encoding = Encoding.MSGPACK,
    ) -> int:
        """Send audio in chunks.

        Args:
            heard: The session.
            audio: What is said.
            step: Bytes of a chunk.
            pace: Seconds between two chunks; 0: without a pause.
            first: Number of the first chunk.
            encoding: What it is written in.

        Returns:
            The number of the next chunk.
        """
        for start in range(0, len(audio), step):
            await self.send(heard, "chunk", audio=audio[start : start + step], sequence=first, encoding=encoding)
            first += 1
            await asyncio.sleep(pace)
        return first

    async def say(
        self,
        audio: bytes,
        *,
        step: int = 3200,
        pace: float = 0.0,
        encoding: Encoding = Encoding.MSGPACK,
        **values: object,
    ) -> HeardSession:
        """Send a whole session, and wait for its end."""
        heard = await self.hear()
        await self.send(heard, "start", encoding=encoding, **values)
        await self.speak(heard, audio, step=step, pace=pace, encoding=encoding)
        await self.send(heard, "end", encoding=encoding)
        return await heard.ended()


@asynccontextmanager
async def stt_caller(url: str) -> AsyncIterator[SttCaller]:
    """Connect a caller to a server."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="caller"))
    await client.connect()
    try:
        yield SttCaller(client)
    finally:
        await client.close()
