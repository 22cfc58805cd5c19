"""Text in, sound out in chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from handler_base.clients import HttpPool, tts_client
from handler_base.errors import NotFoundError, UpstreamError, UpstreamUnavailableError
from handler_base.handler import Context, Handler, Worker, endpoint
from handler_base.handler.audio_stream import AudioStream
from handler_base.messages import TTSRequest, TTSStatus, TTSVoiceListResponse, TTSVoiceRefreshResponse, unix_now
from handler_base.messages.subjects import TTS_AUDIO, TTS_REQUEST, TTS_STATUS, TTS_VOICES_LIST, TTS_VOICES_REFRESH
from handler_base.nats_client import NatsConnection
from tts_module.answers import failed, full, status
from tts_module.cancelling import Cancelling
from tts_module.flow import Flow
from tts_module.formats import check
from tts_module.registry import VoiceRegistry
from tts_module.settings import TtsSettings
from tts_module.speakers import Speakers
from tts_module.speeches import Speeches
from tts_module.synthesis import Synthesis
from tts_module.texts import sentences_of

__all__ = ["TtsModule"]

_ROOM = 4 * 1024
"""Bytes kept for everything in a message but its sound."""


class TtsModule(Handler[TtsSettings]):
    """Request → sentences → speech server → chunks in order, with a status at each step."""

    name: ClassVar[str] = "tts-module"
    description: ClassVar[str] = "Speaks text, in chunks as they are made."

    def __init__(self, settings: TtsSettings) -> None:
        super().__init__(settings)
        self._pool = HttpPool()
        self._tts = tts_client(settings, self._pool)
        self._speeches = Speeches(settings.max_concurrency, settings.queue_size)
        self._registry = VoiceRegistry(settings.voices_dir, timedelta(seconds=settings.voices_refresh))
        self._speakers = Speakers(self._tts, self._registry, settings.voices_cloned)
        self._connection: NatsConnection | None = None

    async def open(self) -> None:
        """Open the connections to the speech server."""
        await self._pool.open()

    async def close(self) -> None:
        """Close them."""
        await self._pool.close()

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Return what looks for voices, and what hears the cancel messages."""
        self._connection = connection
        self._registry.attach(connection)
        return (self._registry, Cancelling(connection, self._speeches))

    def dependencies(self) -> Mapping[str, bool]:
        """Return whether the speech server works."""
        return {"tts": self._tts.available}

    @endpoint(
        core=(TTS_REQUEST,),
        respond_on=TTS_STATUS,
        error_answer=failed,
        budget=lambda settings: settings.speech_budget,
        # What waits is told so, and waits for the other speeches of its session too: `Speeches` bounds it.
        bounded=False,
    )
    async def speak(self, request: TTSRequest, context: Context) -> TTSStatus:
        """Speak a text."""
        with self._speeches.entered(context.session_id, context.request_id) as speech:
            audio_format = check(request, most_chars=self.settings.tts_max_chars)
            await self._tell(context, "queued")
            async with self._speeches.turn(speech):
                await self._tell(context, "processing")
                sentences = await sentences_of(request.text, request.language)
                deadline = context.deadline.sooner(timedelta(seconds=self.settings.tts_timeout))
                async with self._speakers.of(request, deadline) as voice:
                    synthesis = self._synthesis(request, context, sentences, voice)
                    try:
                        await self._speak(synthesis, context, audio_format, stream=request.stream)
                    except UpstreamError:
                        # Only now: servers take more names than they tell, such as mixes of voices.
                        if await self._speakers.is_unknown(voice, deadline):
                            raise NotFoundError("There is no such voice.") from None
                        raise
        return status(context.session_id, "completed")

    @endpoint(core=(TTS_VOICES_LIST,), bounded=False)
    async def list_voices(self, _request: TTSVoiceListResponse, context: Context) -> TTSVoiceListResponse:
        """Tell which voices there are."""
        return TTSVoiceListResponse(
            default_speaker=self.settings.tts_voice,
            custom_voices=[voice.info() for voice in self._registry.voices],
            last_refresh=self._registry.last_refresh,
            timestamp=unix_now(),
            speakers=await self._speakers.built_in(context.deadline),
        )

    @endpoint(core=(TTS_VOICES_REFRESH,), bounded=False)
    async def refresh_voices(self, _request: TTSVoiceRefreshResponse, _context: Context) -> TTSVoiceRefreshResponse:
        """Look for custom voices, and tell which there are now."""
        await self._registry.refresh()
        voices = [voice.info() for voice in self._registry.voices]
        return TTSVoiceRefreshResponse(count=len(voices), custom_voices=voices, timestamp=unix_now())

    async def _tell(self, context: Context, what: str) -> None:
        session_id = context.session_id
        await context.publish(TTS_STATUS.format(session_id=session_id), status(session_id, what))

    def _synthesis(self, request: TTSRequest, context: Context, sentences: list[str], voice: str) -> Synthesis:
        return Synthesis(
            tts=self._tts,
            sentences=sentences,
            voice=voice,
            language=request.language,
            parallel=self.settings.tts_parallel,
            deadline=context.deadline,
            patience=timedelta(seconds=self.settings.tts_timeout),
        )

    async def _speak(self, synthesis: Synthesis, context: Context, audio_format: str, *, stream: bool) -> None:
        if stream:
            await self._stream(synthesis, context)
            return
        whole = await synthesis.whole(audio_format, context.max_payload - _ROOM)
        session_id = context.session_id
        await context.publish(TTS_AUDIO.format(session_id=session_id), full(session_id, whole))

    async def _stream(self, synthesis: Synthesis, context: Context) -> None:
        if self._connection is None:
            raise UpstreamUnavailableError
        flow = Flow(self._connection, context.deadline, timedelta(seconds=self.settings.tts_lead))
        session_id = context.session_id
        stream = context.stream(TTS_AUDIO.format(session_id=session_id), AudioStream(session_id))
        async with contextlib.aclosing(synthesis.chunks(self.settings.tts_chunk)) as chunks:
            async for chunk in chunks:
                await stream.write(chunk)
                if chunk.is_last:
                    stream.closed = True
                else:
                    await flow.sent(chunk)
