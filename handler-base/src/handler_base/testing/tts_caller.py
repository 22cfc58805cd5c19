"""A client of the speech subjects that keeps everything it hears, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from handler_base.messages import (
    CancelRequest,
    Encoding,
    TTSAudioChunk,
    TTSFullResponse,
    TTSRequest,
    TTSStatus,
    decode,
    encode,
)
from handler_base.messages.subjects import TTS_AUDIO, TTS_CANCEL, TTS_REQUEST, TTS_STATUS
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["HeardSpeech", "TtsCaller", "tts_caller"]

_LONGEST_WAIT: Final = 15.0
_FINAL: Final = {"completed", "cancelled", "error"}


@dataclass
class HeardSpeech:
    """All that came for one session, in the order in which it came.

    Attributes:
        session_id: The session.
        chunks: Pieces of sound.
        full: Whole sounds.
        statuses: Where the speeches stand.
        codes: For each status, its error code; empty for none.
        order: What came, one word each: a status, ``chunk`` or ``full``.
        encodings: What the messages were written in.
        changed: Set when something came.
    """

    session_id: str
    chunks: list[TTSAudioChunk] = field(default_factory=list)
    full: list[TTSFullResponse] = field(default_factory=list)
    statuses: list[TTSStatus] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    encodings: set[Encoding] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, msg: Msg) -> None:
        """Take what came."""
        headers = msg.headers or {}
        encoding = Encoding(headers["Content-Type"])
        kind = headers["Message-Type"].rpartition(".")[2]
        self.encodings.add(encoding)
        if kind == "TTSAudioChunk":
            self.chunks.append(decode(TTSAudioChunk, msg.data, encoding))
            self.order.append("chunk")
        elif kind == "TTSFullResponse":
            self.full.append(decode(TTSFullResponse, msg.data, encoding))
            self.order.append("full")
        else:
            status = decode(TTSStatus, msg.data, encoding)
            self.statuses.append(status)
            self.codes.append(headers.get("Nats-Service-Error-Code", ""))
            self.order.append(status.status)
        self.changed.set()

    @property
    def said(self) -> list[str]:
        """The words of the statuses."""
        return [status.status for status in self.statuses]

    @property
    def audio(self) -> bytes:
        """The sound of all chunks."""
        return b"".join(chunk.audio for chunk in self.chunks)

    async def until(self, condition: Callable[[HeardSpeech], object]) -> HeardSpeech:
        """Wait until enough has come."""
        async with asyncio.timeout(_LONGEST_WAIT):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()
        return self

    async def ended(self, times: int = 1) -> HeardSpeech:
        """Wait for the last status of so many speeches."""
        return await self.until(lambda heard: sum(word in _FINAL for word in heard.said) >= times)


class TtsCaller:
    """Asks for speech and hears all that comes.

    Args:
        client: A connection of its own.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client
        self._sessions = 0

    async def hear(self, session_id: str = "") -> HeardSpeech:
        """Listen to a session, a new one unless it is named."""
        self._sessions += 1
        heard = HeardSpeech(session_id or f"session-{self._sessions}")
        for subject in (TTS_AUDIO, TTS_STATUS):
            await self.client.subscribe(subject.format(session_id=heard.session_id), heard.note)
        await self.client.flush()
        return heard

    async def ask(self, heard: HeardSpeech, request: TTSRequest, *, encoding: Encoding = Encoding.MSGPACK) -> None:
        """Send a request for a session."""
        await self.client.publish(TTS_REQUEST.format(session_id=heard.session_id), encode(request, encoding))

    async def say(self, text: str, *, encoding: Encoding = Encoding.MSGPACK, **values: object) -> HeardSpeech:
        """Have a text spoken in a session of its own, and wait for the end."""
        heard = await self.hear()
        await self.ask(heard, TTSRequest(text=text, **values), encoding=encoding)  # type: ignore[arg-type]  # any field
        return await heard.ended()

    async def cancel(self, heard: HeardSpeech, request_id: str = "") -> None:
        """Stop the speeches of a session, or one of them."""
        body = encode(CancelRequest(request_id=request_id)) if request_id else b""
        await self.client.publish(TTS_CANCEL.format(session_id=heard.session_id), body)
        await self.client.flush()

    async def request(self, subject: str, payload: bytes = b"\x80") -> Msg:
        """Ask by request-reply."""
        return await self.client.request(subject, payload, timeout=timedelta(seconds=_LONGEST_WAIT))


@asynccontextmanager
async def tts_caller(url: str) -> AsyncIterator[TtsCaller]:
    """Connect a caller to a server."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="caller"))
    await client.connect()
    try:
        yield TtsCaller(client)
    finally:
        await client.close()
