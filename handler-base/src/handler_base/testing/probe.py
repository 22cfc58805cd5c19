"""A handler whose behaviour each test chooses, and a client of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

from handler_base.config import Settings
from handler_base.errors import FleetError
from handler_base.handler import Context, Handler, Service, Worker, endpoint
from handler_base.messages import (
    ChatRequest,
    ChatResponse,
    ChatStreamChunk,
    Encoding,
    GreetingRequest,
    GreetingResponse,
    Message,
    encode,
)
from handler_base.messages.streams import AI_CHAT_STREAM, StreamSpec
from handler_base.messages.subjects import (
    CHAT_CANCEL,
    CHAT_EVENT,
    CHAT_GREETING_REQUEST,
    CHAT_GREETING_RESPONSE,
    CHAT_REQUEST,
    CHAT_RESPONSE,
    CHAT_RESPONSE_STREAM,
    CHAT_USER_MESSAGE,
    Subject,
)
from handler_base.nats_client import Msg, NatsConnection, options_from_settings

Behaviour = Callable[[ChatRequest, Context], Awaitable[ChatResponse]]
__all__ = ["Behaviour", "Pieces", "Probe", "Running", "StartService", "echo", "probe_settings", "starter"]

StartService = Callable[..., Awaitable["Running"]]
"""Starts one more service; takes a behaviour and settings."""


class Pieces:
    """The stream of the test handler."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id

    def chunk(self, sequence: int, piece: str) -> ChatStreamChunk:
        """Return the message for a word."""
        return ChatStreamChunk(request_id=self.request_id, content=piece, sequence=sequence)

    def end(self, sequence: int) -> ChatStreamChunk:
        """Return the end marker."""
        return ChatStreamChunk(request_id=self.request_id, type="done", done=True, sequence=sequence)

    def error(self, sequence: int, error: FleetError) -> ChatStreamChunk:
        """Return the end marker of a failure."""
        return ChatStreamChunk(
            request_id=self.request_id, type="error", done=True, sequence=sequence, error_type=error.type.value
        )


def _failed(request: ChatRequest, error: FleetError) -> ChatResponse:
    return ChatResponse(request_id=request.request_id, success=False, error=error.message)


async def echo(request: ChatRequest, context: Context) -> ChatResponse:
    """Answer with the question, streamed word by word when asked to."""
    if request.enable_streaming:
        stream = context.stream(CHAT_RESPONSE_STREAM.format(request_id=context.request_id), Pieces(context.request_id))
        for word in request.question.split():
            await stream.write(word)
    return ChatResponse(request_id=context.request_id, user_id=request.user_id, response=request.question)


class Probe(Handler[Settings]):
    """A handler whose behaviour each test chooses."""

    name: ClassVar[str] = "probe"
    description: ClassVar[str] = "Does what a test says."
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_CHAT_STREAM,)
    events: ClassVar[Subject | None] = CHAT_EVENT

    def __init__(self, settings: Settings, behaviour: Behaviour) -> None:
        super().__init__(settings)
        self.behaviour = behaviour
        self.calls: list[tuple[ChatRequest, Context]] = []
        self.works: dict[str, bool] = {}
        self.beside: list[Worker] = []

    def dependencies(self) -> Mapping[str, bool]:
        """Return what the test set."""
        return self.works

    def workers(self, _: NatsConnection) -> Sequence[Worker]:
        """Return what the test set."""
        return self.beside

    @endpoint(
        core=(CHAT_REQUEST,),
        durable=(CHAT_USER_MESSAGE,),
        respond_on=CHAT_RESPONSE,
        error_answer=_failed,
        cancel=CHAT_CANCEL,
        budget=lambda _: timedelta(seconds=20),
    )
    async def answer(self, request: ChatRequest, context: Context) -> Message:
        """Behave."""
        self.calls.append((request, context))
        return await self.behaviour(request, context)

    @endpoint(durable=(CHAT_GREETING_REQUEST,), respond_on=CHAT_GREETING_RESPONSE, bounded=False)
    async def greet(self, request: GreetingRequest, _: Context) -> GreetingResponse:
        """Greet."""
        return GreetingResponse(user_id=request.user_id, greeting="hello")


class Running:
    """A started service, and a client of it."""

    def __init__(self, service: Service, handler: Probe, client: NatsConnection) -> None:
        self.service = service
        self.handler = handler
        self.client = client

    async def listen(self, subject: str) -> asyncio.Queue[Msg]:
        """Return a queue of what comes on a subject from now on."""
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        await self.client.subscribe(subject, queue.put_nowait)
        await self.client.flush()
        return queue

    async def ask(
        self,
        request: Message | bytes,
        *,
        encoding: Encoding = Encoding.MSGPACK,
        headers: dict[str, str] | None = None,
        subject: str = CHAT_REQUEST.template,
    ) -> Msg:
        """Ask by request-reply."""
        payload = request if isinstance(request, bytes) else encode(request, encoding)
        return await self.client.request(subject, payload, headers=headers, timeout=timedelta(seconds=10))

    async def put(self, request: Message | bytes, user_id: str = "ann", message_id: str = "") -> None:
        """Put a question into its stream."""
        payload = request if isinstance(request, bytes) else encode(request)
        await self.client.jetstream_publish(CHAT_USER_MESSAGE.format(user_id=user_id), payload, message_id=message_id)


def probe_settings(url: str, **values: Any) -> Settings:  # noqa: ANN401 - fields of the settings
    """Return settings for a probe at a server, without an `.env`."""
    return Settings(nats_url=url, health_host="127.0.0.1", health_port=0, _env_file=None, **values)


@asynccontextmanager
async def starter(url: str) -> AsyncIterator[StartService]:
    """Yield a function that starts services; all of them are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start_one(
            behaviour: Behaviour = echo,
            beside: Sequence[Worker] = (),
            **values: Any,  # noqa: ANN401 - see probe_settings
        ) -> Running:
            settings = probe_settings(url, **values)
            handler = Probe(settings, behaviour)
            handler.beside.extend(beside)
            service = Service(handler)
            await service.start()
            stack.push_async_callback(service.stop)
            client = NatsConnection(options_from_settings(settings, f"client-{uuid.uuid4().hex[:6]}"))
            await client.connect()
            stack.push_async_callback(client.close)
            return Running(service, handler, client)

        yield start_one
