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
from handler_base.deadline import Deadline
from handler_base.errors import FleetError
from handler_base.handler import Context
from handler_base.messages import VoiceResponse
from handler_base.rag import CitationFilter, EmbeddedAhead, Prompt, Retrieval, build_prompt
from voice_assistant.answers import failed_answer, spoken_answer
from voice_assistant.backends import VoiceBackends
from voice_assistant.exchange import Exchange
from voice_assistant.outlet import Outlet, TextKind
from voice_assistant.script import Script
from voice_assistant.settings import VoiceSettings
from voice_assistant.speaker import Speaker
from voice_assistant.track import Track

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
        outlet: Where the answer goes as it is made; None: nobody wants to know before it is complete.
        deadline: When it is to be made; the question's own unless given.
        live: Whether it is heard as it is made and no other way: then its sound is not collected, and what was heard of
            it is remembered also when it breaks off.
        ahead: The embedding of the question, where it is on its way.

    Attributes:
        heard: What is remembered of it as having been said.
    """

    def __init__(
        self,
        exchange: Exchange,
        context: Context,
        backends: VoiceBackends,
        summaries: Summaries,
        settings: VoiceSettings,
        *,
        outlet: Outlet | None = None,
        deadline: Deadline | None = None,
        live: bool = False,
        ahead: EmbeddedAhead | None = None,
    ) -> None:
        self._exchange = exchange
        self._context = context
        self._backends = backends
        self._summaries = summaries
        self._settings = settings
        self._outlet = outlet
        self._deadline = deadline or context.deadline
        self._live = live
        self._ahead = ahead
        self.heard = ""

    async def answer(self) -> VoiceResponse:
        """Answer what was understood."""
        exchange = self._exchange
        await self._tell("transcription", exchange.transcript)
        prompt = self._prompt(await self._retrieve())
        exchange.hits = prompt.used_hits
        async with self._speaker(self._deadline.shrunk_by(_RESERVE)) as speaker:
            try:
                await self._write(prompt, speaker)
                await self._finish(speaker)
            except (asyncio.CancelledError, FleetError):
                self._broken_off(speaker)
                raise
        self._remember(exchange.completion.text)
        exchange.answered(exchange.completion.text)
        response = spoken_answer(exchange)
        self._add_sound(response, speaker)
        self._time(response, speaker)
        return response

    async def apologise(self, error: FleetError, words: str) -> VoiceResponse:
        """Return an answer to what cannot be answered: an error that can be heard, where there is speech.

        Args:
            error: What is wrong.
            words: What is said of it.
        """
        response = failed_answer(self._exchange.request, error)
        response.response = words
        response.transcription = self._exchange.transcript
        response.session_id = self._exchange.session_id
        await self._tell("text", words)
        deadline = Deadline.after(_LONGEST_APOLOGY)
        if not self._live:
            deadline = self._deadline.shrunk_by(_RESERVE).sooner(_LONGEST_APOLOGY)
        async with self._speaker(deadline) as speaker:
            speaker.say(words)
            await self._finish(speaker)
        self._add_sound(response, speaker)
        self._time(response, speaker)
        return response

    def _speaker(self, deadline: Deadline) -> Speaker:
        return Speaker(
            self._backends.tts,
            voice=self._exchange.voice,
            language=self._exchange.language,
            deadline=deadline,
            in_flight=self._settings.speech_in_flight,
            outlet=self._outlet,
            keep=not self._live,
        )

    async def _finish(self, speaker: Speaker) -> None:
        with self._context.stages.measure("speech"):
            await speaker.finish()
        if self._outlet is not None:
            await self._outlet.over(speaker.track, speaker.error)

    async def _retrieve(self) -> Retrieval:
        exchange = self._exchange
        if not exchange.wants_rag:
            return Retrieval()
        collection = exchange.request.collection or self._settings.collection_name
        query = exchange.transcript
        if exchange.turns:
            query = await self._backends.rewriter.rewrite(query, exchange.turns, deadline=self._deadline)
        retrieval = await self._backends.retriever.retrieve(
            query, collection=collection, deadline=self._deadline, stages=self._context.stages, ahead=self._ahead
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
        deltas = self._backends.llm.stream(prompt.parts, model=exchange.model, deadline=self._deadline)
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

    def _broken_off(self, speaker: Speaker) -> None:
        """Keep what its listener can have heard of an answer that is stopped, or fails, on the way."""
        if self._outlet is None or not (self._live or self._outlet.stopped):
            return
        self.heard = speaker.track.heard(time.monotonic())
        if self.heard:
            self._remember(self.heard)
            self._exchange.answered(self.heard, status="cancelled")

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
        if not track.size:
            return
        if not self._live:
            self._attach(response, track)
        self._exchange.spoken(track.seconds, track.size)

    def _attach(self, response: VoiceResponse, track: Track) -> None:
        texts = (response.response, response.transcription, *(source.text for source in response.sources))
        size = track.size + sum(map(len, texts)) * 4 + _ROOM
        if size > self._context.max_payload:
            log.warning("answering without speech: it does not fit a message", extra={"bytes": track.size})
            return
        response.audio = pcm_to_wav(bytes(track.audio), track.sample_rate)
        response.audio_format, response.sample_rate = "wav", track.sample_rate

    def _time(self, response: VoiceResponse, speaker: Speaker) -> None:
        if speaker.first_sound:
            self._context.stages.add("first_sound", speaker.first_sound - speaker.started)
            self._context.stages.add("first_audio", self._exchange.until(speaker.first_sound))
        response.timings_ms = self._context.stages.timings_ms
        response.latency_ms = self._exchange.latency_ms

    async def _tell(self, kind: TextKind, text: str) -> None:
        if self._outlet is not None and text:
            await self._outlet.write(kind, text)


class _Page:
    """Gathers text that comes in quick succession; what comes after a pause goes out at once.

    Args:
        tell: Sends a piece of text.
        gather: Seconds in which pieces are gathered.
    """

    def __init__(self, tell: Callable[[TextKind, str], Awaitable[None]], gather: float) -> None:
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
