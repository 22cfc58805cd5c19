"""A spoken question in, a spoken and grounded answer out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from handler_base.answering import Summaries
from handler_base.clients.speech import check_language, check_voice
from handler_base.errors import PermissionDeniedError, QuotaExceededError
from handler_base.handler import Context, Handler, Worker, endpoint
from handler_base.messages import Message, STTTranscription, VoiceRequest
from handler_base.messages.streams import AI_VOICE_STREAM, VOICE_SESSIONS, BucketSpec, StreamSpec
from handler_base.messages.subjects import (
    STT_TRANSCRIPTION,
    VOICE_CANCEL,
    VOICE_EVENT,
    VOICE_REQUEST,
    VOICE_REQUEST_LEGACY,
    VOICE_RESPONSE,
    VOICE_RESPONSE_LEGACY,
    VOICE_USER_REQUEST,
    Subject,
)
from handler_base.nats_client import NatsConnection, ObjectStore
from handler_base.sessions import Opening
from voice_assistant.answers import failed_answer, not_heard
from voice_assistant.backends import VoiceBackends
from voice_assistant.conversing import LONGEST_HEARD, Conversations
from voice_assistant.exchange import Exchange
from voice_assistant.outlet import StreamOutlet
from voice_assistant.recordings import NothingHeardError, check_recording, check_speech, transcript_of
from voice_assistant.replying import Reply
from voice_assistant.settings import VoiceSettings

__all__ = ["VoiceHandler"]


class VoiceHandler(Handler[VoiceSettings]):
    """Recording → transcript → conversation → retrieval → model → speech, each as early as it can be."""

    name: ClassVar[str] = "voice-assistant"
    description: ClassVar[str] = "Answers spoken questions from documents, aloud."
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_VOICE_STREAM,)
    events: ClassVar[Subject | None] = VOICE_EVENT
    listens: ClassVar[tuple[Subject, ...]] = (STT_TRANSCRIPTION,)
    buckets: ClassVar[tuple[BucketSpec, ...]] = (VOICE_SESSIONS,)

    @classmethod
    def object_stores(cls, settings: VoiceSettings) -> Sequence[str]:
        """Return the buckets of recordings."""
        return settings.audio_buckets

    def __init__(self, settings: VoiceSettings) -> None:
        super().__init__(settings)
        self._backends = VoiceBackends(settings)
        self._summaries = Summaries(self._backends, settings)
        self._objects: ObjectStore | None = None
        self._conversations: Conversations | None = None

    async def open(self) -> None:
        """Open the clients of the model servers, the documents and the memory."""
        await self._backends.open()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._summaries.close()
        await self._backends.close()

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Take the connection, which recordings are fetched and live sessions shared over."""
        self._objects = ObjectStore(connection)
        self._conversations = Conversations(connection, self._backends, self._summaries, self.settings)
        return (self._conversations,)

    def dependencies(self) -> Mapping[str, bool]:
        """Return which backends work."""
        return self._backends.working()

    @endpoint(
        core=(VOICE_REQUEST_LEGACY, VOICE_REQUEST),
        durable=(VOICE_USER_REQUEST,),
        respond_on={
            VOICE_REQUEST_LEGACY: VOICE_RESPONSE_LEGACY,
            VOICE_REQUEST: VOICE_RESPONSE,
            VOICE_USER_REQUEST: VOICE_RESPONSE,
        },
        error_answer=failed_answer,
        cancel=VOICE_CANCEL,
        budget=lambda settings: timedelta(seconds=settings.voice_timeout),
    )
    async def answer(self, request: VoiceRequest, context: Context) -> Message:
        """Answer a spoken question."""
        check_voice(request.voice)
        check_language(request.language)
        exchange = await self._open(request, context)
        outlet = StreamOutlet(context, request.request_id) if request.enable_streaming else None
        reply = Reply(exchange, context, self._backends, self._summaries, self.settings, outlet=outlet)
        try:
            await self._hear(exchange, context)
        except NothingHeardError as error:
            context.refusal = await reply.apologise(error, not_heard(exchange.language))
            raise
        return await reply.answer()

    @endpoint(
        durable=(STT_TRANSCRIPTION,),
        budget=lambda settings: timedelta(seconds=settings.voice_timeout) + LONGEST_HEARD,
    )
    async def converse(self, heard: STTTranscription, context: Context) -> None:
        """Answer what was said in a live session."""
        if self._conversations is not None:
            await self._conversations.take(heard, context)

    async def _open(self, request: VoiceRequest, context: Context) -> Exchange:
        """Find the conversation, or begin it.

        Raises:
            QuotaExceededError: The user has used up what is granted.
        """
        opening = Opening()
        if self._backends.sessions.enabled:
            asked = time.perf_counter()
            opening = await self._backends.sessions.begin(
                request.user_id, request.session_id, premium=request.premium, kind="voice"
            )
            context.stages.add("memory", time.perf_counter() - asked)
        if opening.retry_after is not None:
            raise QuotaExceededError(retry_after=opening.retry_after)
        return Exchange(request, opening, self.settings, context)

    async def _hear(self, exchange: Exchange, context: Context) -> None:
        """Find out what was asked.

        Raises:
            NothingHeardError: Nothing was said.
            UnsupportedFormatError: It is no recording that can be read.
        """
        request = exchange.request
        exchange.received()
        audio = check_speech(request.audio or await self._fetch(request.audio_ref, context))
        audio_format = check_recording(audio, request.format)
        exchange.transcribes()
        with context.stages.measure("stt"):
            transcription = await self._backends.stt.transcribe(
                audio, audio_format=audio_format.value, language=exchange.wanted_language, deadline=context.deadline
            )
        exchange.heard(transcript_of(transcription.text), transcription)

    async def _fetch(self, reference: str, context: Context) -> bytes:
        """Return the recording that a question only names; nothing where it names none.

        Raises:
            PermissionDeniedError: It is in a bucket that is not for recordings.
            NotFoundError: It is not there.
        """
        bucket, _, name = reference.partition("/")
        if not reference or self._objects is None:
            return b""
        if bucket not in self.settings.audio_buckets:
            raise PermissionDeniedError("audio_ref names a bucket that is not for recordings.")
        with context.stages.measure("fetch"):
            return await self._objects.get(bucket, name, most_bytes=self.settings.most_audio_bytes)
