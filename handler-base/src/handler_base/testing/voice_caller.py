"""A client of the voice subjects that keeps everything it hears, for tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from handler_base.messages import Encoding, VoiceRequest, VoiceResponse, VoiceStreamChunk, decode, encode
from handler_base.messages.subjects import VOICE_CANCEL, VOICE_REQUEST, VOICE_USER_REQUEST, Subject
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["LONGEST_WAIT", "Asked", "Heard", "VoiceCaller", "encoding_of", "voice_caller"]

LONGEST_WAIT: Final = 15.0
"""Seconds."""


@dataclass
class Heard:
    """A final answer and the stream that came before it."""

    answer: VoiceResponse
    error_code: str
    encoding: Encoding
    chunks: tuple[VoiceStreamChunk, ...] = ()

    @property
    def text(self) -> str:
        """The text of the stream."""
        return "".join(chunk.content for chunk in self.chunks if chunk.type == "text")

    @property
    def sound(self) -> bytes:
        """The samples of the stream."""
        return b"".join(chunk.audio for chunk in self.chunks)

    @property
    def kinds(self) -> list[str]:
        """The types in their order, each once for a run of the same."""
        kinds = [chunk.type for chunk in self.chunks]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


@dataclass
class Asked:
    """A question that is on its way."""

    request_id: str
    final: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)
    arrived: list[VoiceStreamChunk] = field(default_factory=list)

    def note(self, msg: Msg) -> None:
        """Take a piece."""
        self.arrived.append(decode(VoiceStreamChunk, msg.data, encoding_of(msg)))

    def count(self, kind: str) -> int:
        """Return how many pieces of a type came so far."""
        return sum(chunk.type == kind for chunk in self.arrived)

    async def heard(self) -> Heard:
        """Wait for the final answer."""
        msg = await asyncio.wait_for(self.final.get(), LONGEST_WAIT)
        code = (msg.headers or {}).get("Nats-Service-Error-Code", "")
        return Heard(decode(VoiceResponse, msg.data, encoding_of(msg)), code, encoding_of(msg), tuple(self.arrived))


class VoiceCaller:
    """Asks spoken questions on any of the question subjects.

    Args:
        client: A connection of its own.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client

    async def ask(
        self, request: VoiceRequest, *, subject: Subject = VOICE_REQUEST, encoding: Encoding = Encoding.MSGPACK
    ) -> Heard:
        """Ask by request-reply and wait."""
        return await (await self.begin(request, subject=subject, encoding=encoding)).heard()

    async def put(self, request: VoiceRequest, *, user_id: str = "ann") -> Heard:
        """Ask durably and wait for the answer on the response subject."""
        asked = await self._listen(request)
        await self.client.subscribe(f"ai.voice.response.{asked.request_id}", asked.final.put_nowait)
        await self.client.jetstream_publish(VOICE_USER_REQUEST.format(user_id=user_id), encode(request))
        return await asked.heard()

    async def begin(
        self, request: VoiceRequest, *, subject: Subject = VOICE_REQUEST, encoding: Encoding = Encoding.MSGPACK
    ) -> Asked:
        """Ask by request-reply without waiting for the answer."""
        asked = await self._listen(request)
        inbox = self.client.new_inbox()
        await self.client.subscribe(inbox, asked.final.put_nowait)
        await self.client.publish(subject.template, encode(request, encoding), reply=inbox)
        return asked

    async def cancel(self, request_id: str) -> None:
        """Stop a running answer."""
        await self.client.publish(VOICE_CANCEL.format(request_id=request_id), b"")
        await self.client.flush()

    async def listen(self, subject: str) -> asyncio.Queue[Msg]:
        """Return a queue of what comes on a subject from now on."""
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        await self.client.subscribe(subject, queue.put_nowait)
        await self.client.flush()
        return queue

    async def _listen(self, request: VoiceRequest) -> Asked:
        request.request_id = request.request_id or uuid.uuid4().hex
        asked = Asked(request.request_id)
        await self.client.subscribe(f"ai.voice.response.stream.{asked.request_id}", asked.note)
        return asked


@asynccontextmanager
async def voice_caller(url: str) -> AsyncIterator[VoiceCaller]:
    """Connect a caller to a server."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="caller"))
    await client.connect()
    try:
        yield VoiceCaller(client)
    finally:
        await client.close()


def encoding_of(msg: Msg) -> Encoding:
    """Return what a message is written in."""
    return Encoding((msg.headers or {}).get("Content-Type", Encoding.MSGPACK.value))
