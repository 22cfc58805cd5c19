"""A client of the chat subjects that keeps everything it hears: what a web front end does, for tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from handler_base.messages import ChatRequest, ChatResponse, ChatStreamChunk, Encoding, Message, decode, encode
from handler_base.messages.subjects import CHAT_CANCEL, CHAT_REQUEST, CHAT_USER_MESSAGE
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["Asked", "ChatCaller", "Heard", "chat_caller"]

_LONGEST_WAIT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A final answer and the stream that came before it.

    Attributes:
        answer: The final answer.
        error_code: Of an error answer, as its header says; empty for a result.
        encoding: What the answer is written in.
        chunks: The stream with its end marker; empty when nothing was streamed.
    """

    answer: ChatResponse
    error_code: str
    encoding: Encoding
    chunks: tuple[ChatStreamChunk, ...] = ()

    @property
    def streamed(self) -> str:
        """The text of the stream."""
        return "".join(chunk.content for chunk in self.chunks if chunk.type == "chunk")

    @property
    def pieces(self) -> list[str]:
        """The text of the stream, as it was cut."""
        return [chunk.content for chunk in self.chunks if chunk.type == "chunk"]


@dataclass
class Asked:
    """A question that is on its way.

    Attributes:
        request_id: Its id.
        final: The message of its final answer.
        chunks: The pieces that came so far.
    """

    request_id: str
    final: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)
    chunks: asyncio.Queue[ChatStreamChunk] = field(default_factory=asyncio.Queue)
    arrived: list[ChatStreamChunk] = field(default_factory=list)

    def note(self, msg: Msg) -> None:
        """Take a piece."""
        chunk = decode(ChatStreamChunk, msg.data, _encoding(msg))
        self.arrived.append(chunk)
        self.chunks.put_nowait(chunk)

    async def next_chunk(self) -> ChatStreamChunk:
        """Wait for the next piece."""
        return await asyncio.wait_for(self.chunks.get(), _LONGEST_WAIT)

    async def heard(self) -> Heard:
        """Wait for the final answer."""
        msg = await asyncio.wait_for(self.final.get(), _LONGEST_WAIT)
        code = (msg.headers or {}).get("Nats-Service-Error-Code", "")
        return Heard(decode(ChatResponse, msg.data, _encoding(msg)), code, _encoding(msg), tuple(self.arrived))


class ChatCaller:
    """Asks questions on both question subjects.

    Args:
        client: A connection of its own.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client

    async def ask(self, request: ChatRequest, *, encoding: Encoding = Encoding.MSGPACK) -> Heard:
        """Ask by request-reply and wait for the answer."""
        return await (await self.begin(request, encoding=encoding)).heard()

    async def put(self, request: ChatRequest, *, user_id: str = "ann", encoding: Encoding = Encoding.MSGPACK) -> Heard:
        """Ask durably and wait for the answer on the response subject."""
        return await (await self.begin(request, user_id=user_id, encoding=encoding)).heard()

    async def begin(self, request: ChatRequest, *, user_id: str = "", encoding: Encoding = Encoding.MSGPACK) -> Asked:
        """Ask without waiting for the answer.

        Args:
            request: The question; it gets an id when it has none.
            user_id: Whose durable question it is; empty: by request-reply.
            encoding: What to write it in.
        """
        request.request_id = request.request_id or uuid.uuid4().hex
        asked = Asked(request.request_id)
        await self.client.subscribe(f"ai.chat.response.stream.{asked.request_id}", asked.note)
        payload = encode(request, encoding)
        if user_id:
            await self.client.subscribe(f"ai.chat.response.{asked.request_id}", asked.final.put_nowait)
            await self.client.jetstream_publish(CHAT_USER_MESSAGE.format(user_id=user_id), payload)
        else:
            inbox = self.client.new_inbox()
            await self.client.subscribe(inbox, asked.final.put_nowait)
            await self.client.publish(CHAT_REQUEST.template, payload, reply=inbox)
        return asked

    async def cancel(self, request_id: str) -> None:
        """Stop a running answer."""
        await self.client.publish(CHAT_CANCEL.format(request_id=request_id), b"")
        await self.client.flush()

    async def tell(self, subject: str, message: Message) -> None:
        """Put a message into the stream that captures a subject."""
        await self.client.jetstream_publish(subject, encode(message))

    async def listen(self, subject: str) -> asyncio.Queue[Msg]:
        """Return a queue of what comes on a subject from now on."""
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        await self.client.subscribe(subject, queue.put_nowait)
        await self.client.flush(timeout=timedelta(seconds=5))
        return queue


@asynccontextmanager
async def chat_caller(url: str) -> AsyncIterator[ChatCaller]:
    """Connect a caller to a server."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="caller"))
    await client.connect()
    try:
        yield ChatCaller(client)
    finally:
        await client.close()


def _encoding(msg: Msg) -> Encoding:
    return Encoding((msg.headers or {}).get("Content-Type", Encoding.MSGPACK.value))
