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

from chat_handler.answers import failed_answer, greeting, source_names, source_of, validate
from chat_handler.backends import Backends
from chat_handler.settings import ChatSettings
from chat_handler.speech import speakable
from chat_handler.streaming import ChatStream
from handler_base.clients import Completion
from handler_base.errors import FleetError
from handler_base.handler import Context, Handler, endpoint
from handler_base.messages import ChatRequest, ChatResponse, GreetingRequest, GreetingResponse, LoginEvent, Message
from handler_base.messages import Usage as UsageMessage
from handler_base.messages.streams import AI_CHAT_STREAM, StreamSpec
from handler_base.messages.subjects import (
    CHAT_CANCEL,
    CHAT_GREETING_REQUEST,
    CHAT_GREETING_RESPONSE,
    CHAT_LOGIN,
    CHAT_REQUEST,
    CHAT_RESPONSE,
    CHAT_RESPONSE_STREAM,
    CHAT_USER_MESSAGE,
)
from handler_base.rag import CitationFilter, Prompt, Retrieval, build_prompt
from handler_base.sessions import Turn

__all__ = ["ChatHandler"]

log = logging.getLogger(__name__)


class ChatHandler(Handler[ChatSettings]):
    """Question → memory and retrieval side by side → prompt → model → answer, streamed and spoken on request."""

    name: ClassVar[str] = "chat-handler"
    description: ClassVar[str] = "Answers text questions from documents, streamed, with sources."
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_CHAT_STREAM,)

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__(settings)
        self._backends = Backends(settings)

    async def open(self) -> None:
        """Open the clients of the model servers, the documents and the memory."""
        await self._backends.open()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._backends.close()

    def dependencies(self) -> Mapping[str, bool]:
        """Return which backends work."""
        return self._backends.working()

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
        started = time.perf_counter()
        validate(request, most_top_k=self.settings.most_top_k)
        history, retrieval = await self._gather(request, context)
        prompt = self._prompt(request, history, retrieval)
        completion = await self._complete(request, context, prompt)
        text = completion.text
        await self._remember(request, context, text)
        response = _response(request, context, text, prompt, completion)
        await self._speak(request, context, response)
        response.timings_ms = context.stages.timings_ms
        response.latency_ms = (time.perf_counter() - started) * 1000
        return response

    @endpoint(durable=(CHAT_GREETING_REQUEST,), respond_on=CHAT_GREETING_RESPONSE, bounded=False)
    async def greet(self, request: GreetingRequest, _context: Context) -> GreetingResponse:
        """Welcome a user."""
        return greeting(request)

    @endpoint(durable=(CHAT_LOGIN,), bounded=False)
    async def login(self, event: LoginEvent, _context: Context) -> None:
        """Take note of a login."""
        await self._backends.memory.open_session(event.user_id, username=event.username, premium=event.premium)

    async def _gather(self, request: ChatRequest, context: Context) -> tuple[Sequence[Turn], Retrieval]:
        """Load the conversation and find passages, at the same time where both are wanted."""
        if not request.session_id or not self._backends.memory.enabled:
            return (), await self._retrieve(request, context)
        if not request.enable_rag:
            return await self._recall(request, context), Retrieval()
        return await asyncio.gather(self._recall(request, context), self._retrieve(request, context))

    async def _recall(self, request: ChatRequest, context: Context) -> Sequence[Turn]:
        with context.stages.measure("memory"):
            return await self._backends.memory.load(request.user_id, request.session_id)

    async def _retrieve(self, request: ChatRequest, context: Context) -> Retrieval:
        if not request.enable_rag:
            return Retrieval()
        return await self._backends.retriever.retrieve(
            request.question,
            collection=request.collection or self.settings.collection_name,
            top_k=request.top_k,
            rerank=request.enable_reranker,
            rerank_top_k=request.rerank_top_k,
            deadline=context.deadline,
            stages=context.stages,
        )

    def _prompt(self, request: ChatRequest, history: Sequence[Turn], retrieval: Retrieval) -> Prompt:
        instructions = "\n".join(part for part in (self.settings.system_prompt, request.system_prompt) if part)
        return build_prompt(
            request.question,
            hits=retrieval.hits,
            grounding=retrieval.grounding,
            history=history,
            system_prompt=instructions,
            language=request.language,
            budgets=self._backends.budgets,
        )

    async def _complete(self, request: ChatRequest, context: Context, prompt: Prompt) -> Completion:
        """Let the model answer; its text names only sources that exist, in the stream as in the whole."""
        model = (self.settings.premium_model if request.premium else "") or self.settings.llm_model
        sources = CitationFilter(len(prompt.used_hits))
        with context.stages.measure("llm"):
            if _streams(request, context):
                return await self._stream(request, context, prompt, model, sources)
            completion = await self._backends.llm.complete(prompt.messages, model=model, deadline=context.deadline)
            completion.text = sources.feed(completion.text) + sources.close()
            return completion

    async def _stream(
        self, request: ChatRequest, context: Context, prompt: Prompt, model: str, sources: CitationFilter
    ) -> Completion:
        stream = context.stream(
            CHAT_RESPONSE_STREAM.format(request_id=request.request_id), ChatStream(request.request_id)
        )
        completion = Completion()
        started = time.perf_counter()
        deltas = self._backends.llm.stream(
            prompt.messages,
            model=model,
            deadline=context.deadline,
            gather=timedelta(seconds=self.settings.stream_gather),
        )
        async with contextlib.aclosing(deltas):
            async for delta in deltas:
                completion.add(replace(delta, text=""))
                piece = sources.feed(delta.text) if delta.text else ""
                if piece:
                    if not stream.sequence:
                        context.stages.add("first_token", time.perf_counter() - started)
                    completion.text += piece
                    await stream.write(piece)
        rest = sources.close()
        if rest:
            completion.text += rest
            await stream.write(rest)
        return completion

    async def _remember(self, request: ChatRequest, context: Context, answer: str) -> None:
        memory = self._backends.memory
        if request.session_id and memory.enabled and answer:
            with context.stages.measure("remember"):
                await memory.append(request.user_id, request.session_id, Turn(request.question, answer))

    async def _speak(self, request: ChatRequest, context: Context, response: ChatResponse) -> None:
        """Add speech; an answer that cannot be spoken is still an answer."""
        if not (request.enable_tts or self.settings.enable_tts):
            return
        text = speakable(response.response)
        if not text:
            return
        budget = context.deadline.sooner(timedelta(seconds=self.settings.speech_timeout))
        try:
            with context.stages.measure("speech"):
                speech = await self._backends.tts.synthesize(
                    text, voice=self.settings.tts_voice, language=request.language, deadline=budget
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


def _response(
    request: ChatRequest, context: Context, text: str, prompt: Prompt, completion: Completion
) -> ChatResponse:
    hits = prompt.used_hits
    usage = completion.usage
    return ChatResponse(
        user_id=request.user_id,
        response=text,
        response_text=text,
        used_rag=bool(hits),
        rag_sources=source_names(hits),
        request_id=context.request_id,
        sources=[source_of(hit) for hit in hits],
        model=completion.model,
        usage=UsageMessage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )
        if usage is not None
        else None,
        session_id=request.session_id,
    )
