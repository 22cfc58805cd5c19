"""Text in, sound out in chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import ClassVar

from handler_base.clients import HttpPool, tts_client
from handler_base.clients.audio import SpeechChunk
from handler_base.errors import UpstreamError
from handler_base.handler import Context, Handler, endpoint
from handler_base.messages import TTSRequest, TTSStatus
from handler_base.messages.subjects import TTS_AUDIO, TTS_REQUEST, TTS_STATUS
from tts_module.answers import failed, status
from tts_module.chunks import AudioStream, Chunker
from tts_module.settings import TtsSettings
from tts_module.speaking import spoken
from tts_module.speeches import Speeches
from tts_module.texts import sentences_of

__all__ = ["TtsModule"]


class TtsModule(Handler[TtsSettings]):
    """Request → sentences → speech server → chunks in order, with a status at each step."""

    name: ClassVar[str] = "tts-module"
    description: ClassVar[str] = "Speaks text, in chunks as they are made."

    def __init__(self, settings: TtsSettings) -> None:
        super().__init__(settings)
        self._pool = HttpPool()
        self._tts = tts_client(settings, self._pool)
        self._speeches = Speeches(settings.max_concurrency, settings.queue_size)

    async def open(self) -> None:
        """Open the connections to the speech server."""
        await self._pool.open()

    async def close(self) -> None:
        """Close them."""
        await self._pool.close()

    def dependencies(self) -> Mapping[str, bool]:
        """Return whether the speech server works."""
        return {"tts": self._tts.available}

    @endpoint(
        core=(TTS_REQUEST,),
        respond_on=TTS_STATUS,
        error_answer=failed,
        budget=lambda settings: timedelta(seconds=settings.tts_timeout),
        # What waits is told so, and waits for the other speeches of its session too: `Speeches` bounds it.
        bounded=False,
    )
    async def speak(self, request: TTSRequest, context: Context) -> TTSStatus:
        """Speak a text."""
        with self._speeches.entered(context.session_id, context.request_id) as speech:
            await self._tell(context, "queued")
            async with self._speeches.turn(speech):
                await self._tell(context, "processing")
                sentences = await sentences_of(request.text, request.language, most_chars=self.settings.tts_max_chars)
                await self._stream(request, context, sentences)
        return status(context.session_id, "completed")

    async def _tell(self, context: Context, what: str) -> None:
        session_id = context.session_id
        await context.publish(TTS_STATUS.format(session_id=session_id), status(session_id, what))

    async def _stream(self, request: TTSRequest, context: Context, sentences: list[str]) -> None:
        def make(text: str) -> AsyncGenerator[SpeechChunk]:
            return self._tts.stream(text, voice=request.speaker, language=request.language, deadline=context.deadline)

        session_id = context.session_id
        stream = context.stream(TTS_AUDIO.format(session_id=session_id), AudioStream(session_id))
        chunker = Chunker(self.settings.tts_chunk)
        async with spoken(sentences, make, parallel=self.settings.tts_parallel) as in_order:
            for number, sentence in enumerate(in_order, start=1):
                while piece := await sentence.next():
                    for chunk in chunker.feed(piece):
                        await stream.write(chunk)
                if number < len(sentences):
                    for chunk in chunker.flush():
                        await stream.write(chunk)
        last = chunker.close()
        if not last.audio:
            raise UpstreamError("The speech server sent no sound.")
        await stream.write(last)
        stream.closed = True
