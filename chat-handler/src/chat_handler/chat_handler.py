"""A text question in, a grounded answer out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from chat_handler.answers import failed_answer, greeting, source_names, validate
from chat_handler.archiving import Archiving, archive_consumers
from chat_handler.exchange import Exchange
from chat_handler.settings import ChatSettings
from chat_handler.streaming import ChatStream
from handler_base.answering import Backends, Summaries, source_of
from handler_base.errors import FleetError, QuotaExceededError, UpstreamUnavailableError
from handler_base.handler import Context, Handler, Worker, endpoint
from handler_base.messages import (
    ChatRequest,
    ChatResponse,
    GreetingRequest,
    GreetingResponse,
    LoginEvent,
    Message,
    unix_now,
)
from handler_base.messages import Usage as UsageMessage
from handler_base.messages.streams import AI_CHAT_STREAM, StreamSpec
from handler_base.messages.subjects import (
    CHAT_CANCEL,
    CHAT_EVENT,
    CHAT_GREETING_REQUEST,
    CHAT_GREETING_RESPONSE,
    CHAT_LOGIN,
    CHAT_REQUEST,
    CHAT_RESPONSE,
    CHAT_RESPONSE_STREAM,
    CHAT_USER_MESSAGE,
    Subject,
)
from handler_base.nats_client import ConsumerSpec, NatsConnection
from handler_base.rag import CitationFilter, Prompt, Retrieval, build_prompt
from handler_base.sessions import Opening
from handler_base.speech import speakable

__all__ = ["ChatHandler"]

log = logging.getLogger(__name__)


class ChatHandler(Handler[ChatSettings]):
    """Question → conversation → retrieval → prompt → model → answer, streamed and spoken on request."""

    name: ClassVar[str] = "chat-handler"
    description: ClassVar[str] = "Answers text questions from documents, streamed, with sources."
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_CHAT_STREAM,)
    events: ClassVar[Subject | None] = CHAT_EVENT

    @classmethod
    def worker_consumers(cls, settings: ChatSettings) -> Sequence[ConsumerSpec]:
        """Return what the archive pulls from, where it runs beside the answers."""
        return archive_consumers(settings) if settings.archive_mode == "inside" else ()

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__(settings)
        self._backends = Backends(settings)
        self._summaries = Summaries(self._backends, settings)
        self._archiving: Archiving | None = None

    async def open(self) -> None:
        """Open the clients of the model servers, the documents and the memory."""
        await self._backends.open()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._summaries.close()
        await self._backends.close()

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Return the archiving, unless another Deployment does it."""
        if self.settings.archive_mode != "inside" or not self.settings.events:
            return ()
        self._archiving = Archiving(connection, self.settings, self._backends)
        return (self._archiving,)

    def dependencies(self) -> Mapping[str, bool]:
        """Return which backends work."""
        working = dict(self._backends.working())
        if self._archiving is not None:
            working["archive"] = self._archiving.healthy
        return working

    @endpoint(
        core=(CHAT_REQUEST,),
        durable=(CHAT_USER_MESSAGE,),
        respond_on=CHAT_RESPONSE,
        error_answer=failed_answer,
        cancel=CHAT_CANCEL,
        budget=lambda settings: timedelta(seconds=settings.chat_timeout),
    )
    async def answer(self, request: ChatRequest, context: Context) -> Message:
        """Answer a question."""
        validate(request, most_top_k=self.settings.most_top_k)
        exchange = await self._open(request, context)
        retrieval = await self._retrieve(exchange, context)
        prompt = self._prompt(exchange, retrieval)
        await self._complete(exchange, context, prompt)
        self._remember(exchange)
        exchange.answered(context, sources=len(prompt.used_hits))
        response = _response(exchange, prompt)
        await self._speak(exchange, context, response)
        response.timings_ms = context.stages.timings_ms
        response.latency_ms = exchange.latency_ms
        return response

    @endpoint(durable=(CHAT_GREETING_REQUEST,), respond_on=CHAT_GREETING_RESPONSE, bounded=False)
    async def greet(self, request: GreetingRequest, _context: Context) -> GreetingResponse:
        """Welcome a user."""
        return greeting(request)

    @endpoint(durable=(CHAT_LOGIN,), bounded=False)
    async def login(self, event: LoginEvent, context: Context) -> None:
        """Open the session of a login."""
        session_id = context.session_id = f"login-{event.timestamp or unix_now()}"
        context.record("user_login", session_id, username=event.username, premium=event.premium)
        created = await self._backends.sessions.open_session(
            event.user_id, session_id, username=event.username, premium=event.premium, kind="chat"
        )
        if not created and self._backends.sessions.enabled and not self._backends.sessions.available:
            raise UpstreamUnavailableError("The session store cannot be used right now.")
        if created:
            context.record("session_created", session_id, type="chat", username=event.username, premium=event.premium)

    async def _open(self, request: ChatRequest, context: Context) -> Exchange:
        """Find the conversation, or begin it.

        Raises:
            QuotaExceededError: The user has used up what is granted.
        """
        opening = Opening()
        if self._backends.sessions.enabled:
            asked = time.perf_counter()
            opening = await self._backends.sessions.begin(
                request.user_id,
                request.session_id,
                premium=request.premium,
                username=request.username,
                metadata=request.metadata,
                charge=context.attempt == 1,
            )
            # Without a span: a fifth of a millisecond that would cost as much again to trace.
            context.stages.add("memory", time.perf_counter() - asked)
        if opening.retry_after is not None:
            raise QuotaExceededError(retry_after=opening.retry_after)
        exchange = Exchange(request, opening, self.settings)
        exchange.received(context, created=opening.created)
        return exchange

    async def _retrieve(self, exchange: Exchange, context: Context) -> Retrieval:
        if not exchange.wants_rag:
            return Retrieval()
        request = exchange.request
        collection = request.collection or self.settings.collection_name
        query = request.question
        if exchange.turns:
            query = await self._backends.rewriter.rewrite(query, exchange.turns, deadline=context.deadline)
        retrieval = await self._backends.retriever.retrieve(
            query,
            collection=collection,
            top_k=request.top_k,
            rerank=request.enable_reranker,
            rerank_top_k=request.rerank_top_k,
            deadline=context.deadline,
            stages=context.stages,
        )
        exchange.searched(context, retrieval, collection=collection, follow_up=query != request.question)
        return retrieval

    def _prompt(self, exchange: Exchange, retrieval: Retrieval) -> Prompt:
        request = exchange.request
        instructions = "\n".join(part for part in (self.settings.system_prompt, request.system_prompt) if part)
        return build_prompt(
            request.question,
            hits=retrieval.hits,
            grounding=retrieval.grounding,
            history=exchange.turns,
            summary=exchange.summary,
            system_prompt=instructions,
            language=exchange.language,
            budgets=self._backends.budgets,
        )

    async def _complete(self, exchange: Exchange, context: Context, prompt: Prompt) -> None:
        """Let the model answer; its text names only sources that exist, in the stream as in the whole."""
        sources = CitationFilter(len(prompt.used_hits))
        exchange.asks(context)
        with context.stages.measure("llm"):
            if _streams(exchange.request, context):
                await self._stream(exchange, context, prompt, sources)
                return
            completion = await self._backends.llm.complete(
                prompt.parts, model=exchange.model, deadline=context.deadline
            )
            completion.text = sources.feed(completion.text) + sources.close()
            exchange.completion = completion

    async def _stream(self, exchange: Exchange, context: Context, prompt: Prompt, sources: CitationFilter) -> None:
        request_id = exchange.request.request_id
        stream = context.stream(CHAT_RESPONSE_STREAM.format(request_id=request_id), ChatStream(request_id))
        completion = exchange.completion
        started = time.perf_counter()
        deltas = self._backends.llm.stream(
            prompt.parts,
            model=exchange.model,
            deadline=context.deadline,
            gather=timedelta(seconds=self.settings.stream_gather),
        )
        try:
            async with contextlib.aclosing(deltas):
                async for delta in deltas:
                    completion.add(replace(delta, text=""))
                    piece = sources.feed(delta.text) if delta.text else ""
                    if piece:
                        if not stream.sequence:
                            context.stages.add("first_token", time.perf_counter() - started)
                        completion.text += piece
                        await stream.write(piece)
        except asyncio.CancelledError:
            if context.cancelled and completion.text:
                # What the user has read stays part of the conversation.
                self._remember(exchange)
                exchange.answered(context, sources=len(prompt.used_hits), status="cancelled")
            raise
        rest = sources.close()
        if rest:
            completion.text += rest
            await stream.write(rest)

    def _remember(self, exchange: Exchange) -> None:
        """Keep the turn for the next question, without waiting: it is on its way before the answer is."""
        sessions = self._backends.sessions
        if not sessions.enabled:
            return
        request = exchange.request
        turn = exchange.turn if exchange.session_id and exchange.completion.text else None
        sessions.finish(request.user_id, exchange.session_id, turn, tokens=exchange.tokens, premium=request.premium)
        if turn is not None:
            self._summaries.consider(request.user_id, exchange.session_id, exchange.turns, model=exchange.model)

    async def _speak(self, exchange: Exchange, context: Context, response: ChatResponse) -> None:
        """Add speech; an answer that cannot be spoken is still an answer."""
        request = exchange.request
        if not (request.enable_tts or self.settings.enable_tts):
            return
        text = speakable(response.response)
        if not text:
            return
        budget = context.deadline.sooner(timedelta(seconds=self.settings.speech_timeout))
        try:
            with context.stages.measure("speech"):
                speech = await self._backends.tts.synthesize(
                    text, voice=exchange.voice, language=exchange.language, deadline=budget
                )
        except FleetError as error:
            log.warning("answering without speech", extra={"error_type": error.type.value})
            return
        if len(speech.audio) + len(response.response) * 4 + _ROOM > context.max_payload:
            log.warning("answering without speech: it does not fit a message", extra={"bytes": len(speech.audio)})
            return
        response.audio = speech.audio
        response.audio_format = speech.audio_format


_ROOM = 64 * 1024
"""Bytes kept for everything in an answer but its text and audio."""


def _streams(request: ChatRequest, context: Context) -> bool:
    """Whether an answer is streamed: as asked, or by the habit of the subject it was asked on."""
    if request.enable_streaming is None:
        return context.subject is CHAT_USER_MESSAGE
    return request.enable_streaming


def _response(exchange: Exchange, prompt: Prompt) -> ChatResponse:
    hits = prompt.used_hits
    request, completion = exchange.request, exchange.completion
    usage = completion.usage
    return ChatResponse(
        user_id=request.user_id,
        response=completion.text,
        response_text=completion.text,
        used_rag=bool(hits),
        rag_sources=source_names(hits),
        request_id=request.request_id,
        sources=[source_of(hit) for hit in hits],
        model=completion.model,
        usage=UsageMessage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )
        if usage is not None
        else None,
        session_id=exchange.session_id,
    )
