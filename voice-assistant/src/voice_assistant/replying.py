"""From what was understood to an answer: searched for, written, and spoken while it is written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from handler_base.answering import Summaries
from handler_base.clients.audio import pcm_to_wav
from handler_base.errors import FleetError
from handler_base.handler import Context
from handler_base.handler.streaming import StreamWriter
from handler_base.messages import VoiceResponse
from handler_base.messages.subjects import VOICE_RESPONSE_STREAM
from handler_base.rag import CitationFilter, Prompt, Retrieval, build_prompt
from voice_assistant.answers import failed_answer, not_heard, spoken_answer
from voice_assistant.backends import VoiceBackends
from voice_assistant.exchange import Exchange
from voice_assistant.script import Script
from voice_assistant.settings import VoiceSettings
from voice_assistant.speaker import Speaker
from voice_assistant.streaming import VoicePiece, VoiceStream

__all__ = ["Reply"]

log = logging.getLogger(__name__)

_ALOUD: Final = (
    "The answer is read aloud to the user. Use short, plain sentences as in conversation: no lists, tables or headings."
)
_RESERVE: Final = timedelta(milliseconds=300)
"""Time kept for the answer in text, when speech takes too long."""

_LONGEST_APOLOGY: Final = timedelta(seconds=10)

_ROOM: Final = 64 * 1024
"""Bytes kept for everything in an answer but its texts and its sound."""


class Reply:
    """Makes the answer to one question.

    Args:
        exchange: The question, with what is known of it.
        context: Its way back.
        backends: What is called.
        summaries: Told of the conversation after the answer.
        settings: The service's.
    """

    def __init__(
        self,
        exchange: Exchange,
        context: Context,
        backends: VoiceBackends,
        summaries: Summaries,
        settings: VoiceSettings,
    ) -> None:
        self._exchange = exchange
        self._context = context
        self._backends = backends
        self._summaries = summaries
        self._settings = settings
        self._stream: StreamWriter[VoicePiece] | None = None
        if exchange.request.enable_streaming:
            request_id = exchange.request.request_id
            subject = VOICE_RESPONSE_STREAM.format(request_id=request_id)
            self._stream = context.stream(subject, VoiceStream(request_id))

    async def answer(self) -> VoiceResponse:
        """Answer what was understood."""
        exchange = self._exchange
        await self._tell("transcription", exchange.transcript)
        prompt = self._prompt(await self._retrieve())
        exchange.hits = prompt.used_hits
        async with self._speaker() as speaker:
            try:
                await self._write(prompt, speaker)
                with self._context.stages.measure("speech"):
                    await speaker.finish()
            except asyncio.CancelledError:
                self._stopped(speaker)
                raise
        self._remember(exchange.completion.text)
        exchange.answered(exchange.completion.text)
        response = spoken_answer(exchange)
        self._add_sound(response, speaker)
        self._time(response, speaker)
        return response

    async def apologise(self, error: FleetError) -> VoiceResponse:
        """Return an answer to someone who said nothing: an error that can be heard, where there is speech."""
        response = failed_answer(self._exchange.request, error)
        response.response = not_heard(self._exchange.language)
        response.session_id = self._exchange.session_id
        await self._tell("text", response.response)
        async with self._speaker(_LONGEST_APOLOGY) as speaker:
            speaker.say(response.response)
            await speaker.finish()
        self._add_sound(response, speaker)
        self._time(response, speaker)
        return response

    def _speaker(self, longest: timedelta | None = None) -> Speaker:
        exchange = self._exchange
        deadline = self._context.deadline.shrunk_by(_RESERVE)
        return Speaker(
            self._backends.tts,
            voice=exchange.voice,
            language=exchange.language,
            deadline=deadline if longest is None else deadline.sooner(longest),
            in_flight=self._settings.speech_in_flight,
            play=self._play if self._stream is not None else None,
        )

    async def _retrieve(self) -> Retrieval:
        exchange = self._exchange
        if not exchange.wants_rag:
            return Retrieval()
        collection = exchange.request.collection or self._settings.collection_name
        query = exchange.transcript
        if exchange.turns:
            query = await self._backends.rewriter.rewrite(query, exchange.turns, deadline=self._context.deadline)
        retrieval = await self._backends.retriever.retrieve(
            query, collection=collection, deadline=self._context.deadline, stages=self._context.stages
        )
        exchange.searched(retrieval, collection=collection, follow_up=query != exchange.transcript)
        return retrieval

    def _prompt(self, retrieval: Retrieval) -> Prompt:
        exchange = self._exchange
        return build_prompt(
            exchange.transcript,
            hits=retrieval.hits,
            grounding=retrieval.grounding,
            history=exchange.turns,
            summary=exchange.summary,
            system_prompt="\n".join(part for part in (_ALOUD, self._settings.system_prompt) if part),
            language=exchange.language,
            budgets=self._backends.budgets,
        )

    async def _write(self, prompt: Prompt, speaker: Speaker) -> None:
        """Let the model write; each clause goes to be spoken as soon as it is there, then the text goes out."""
        exchange, stages = self._exchange, self._context.stages
        completion = exchange.completion
        sources = CitationFilter(len(prompt.used_hits))
        script = Script(exchange.language)
        page = _Page(self._tell, self._settings.stream_gather)
        exchange.asks()
        started = time.perf_counter()
        deltas = self._backends.llm.stream(prompt.messages, model=exchange.model, deadline=self._context.deadline)
        with stages.measure("llm"):
            async with contextlib.aclosing(deltas):
                async for delta in deltas:
                    completion.add(replace(delta, text=""))
                    piece = sources.feed(delta.text) if delta.text else ""
                    if not piece:
                        continue
                    if not completion.text:
                        stages.add("first_token", time.perf_counter() - started)
                    completion.text += piece
                    self._say(script.feed(piece), speaker, started)
                    await page.add(piece)
            rest = sources.close()
            completion.text += rest
            self._say((*script.feed(rest), *script.close()), speaker, started)
            await page.add(rest, last=True)

    def _say(self, pieces: Iterable[str], speaker: Speaker, started: float) -> None:
        for piece in pieces:
            if not speaker.started:
                self._context.stages.add("first_clause", time.perf_counter() - started)
                self._exchange.speaks()
            speaker.say(piece)

    def _stopped(self, speaker: Speaker) -> None:
        """Keep what its listener can have heard of an answer that is stopped on the way."""
        if self._stream is None or not self._context.cancelled:
            return
        heard = speaker.track.heard(time.monotonic())
        if heard:
            self._remember(heard)
            self._exchange.answered(heard, status="cancelled")

    def _remember(self, said: str) -> None:
        """Keep the turn for the next question, without waiting: it is on its way before the answer is."""
        exchange, sessions = self._exchange, self._backends.sessions
        if not sessions.enabled:
            return
        request = exchange.request
        turn = exchange.turn(said) if exchange.session_id and said else None
        sessions.finish(request.user_id, exchange.session_id, turn, tokens=exchange.tokens, premium=request.premium)
        if turn is not None:
            self._summaries.consider(request.user_id, exchange.session_id, exchange.turns, model=exchange.model)

    def _add_sound(self, response: VoiceResponse, speaker: Speaker) -> None:
        """Add the sound to an answer; one that cannot be spoken is still an answer."""
        track = speaker.track
        if speaker.error is not None:
            log.warning("answering without speech", extra={"error_type": speaker.error.type.value})
            return
        if not track.audio:
            return
        texts = (response.response, response.transcription, *(source.text for source in response.sources))
        size = len(track.audio) + sum(map(len, texts)) * 4 + _ROOM
        if size > self._context.max_payload:
            log.warning("answering without speech: it does not fit a message", extra={"bytes": len(track.audio)})
        else:
            response.audio = pcm_to_wav(bytes(track.audio), track.sample_rate)
            response.audio_format, response.sample_rate = "wav", track.sample_rate
        self._exchange.spoken(track.seconds, len(track.audio))

    def _time(self, response: VoiceResponse, speaker: Speaker) -> None:
        if speaker.first_sound:
            self._context.stages.add("first_sound", speaker.first_sound - speaker.started)
            self._context.stages.add("first_audio", self._exchange.until(speaker.first_sound))
        response.timings_ms = self._context.stages.timings_ms
        response.latency_ms = self._exchange.latency_ms

    async def _play(self, samples: bytes, sample_rate: int) -> None:
        assert self._stream is not None  # noqa: S101 - see `_speaker`
        await self._stream.write(VoicePiece("audio", audio=samples, sample_rate=sample_rate))

    async def _tell(self, kind: str, text: str) -> None:
        if self._stream is not None and text:
            await self._stream.write(VoicePiece("text" if kind == "text" else "transcription", text))


class _Page:
    """Gathers text that comes in quick succession; what comes after a pause goes out at once.

    Args:
        tell: Sends a piece of text.
        gather: Seconds in which pieces are gathered.
    """

    def __init__(self, tell: Callable[[str, str], Awaitable[None]], gather: float) -> None:
        self._tell = tell
        self._gather = gather
        self._waiting = ""
        self._sent_at = -gather

    async def add(self, text: str, *, last: bool = False) -> None:
        self._waiting += text
        now = time.monotonic()
        if last or now - self._sent_at >= self._gather:
            waiting, self._waiting, self._sent_at = self._waiting, "", now
            await self._tell("text", waiting)
