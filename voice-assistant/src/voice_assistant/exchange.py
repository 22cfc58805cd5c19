"""One spoken question on its way to its answer, with what is known of its conversation and of who asks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from handler_base.clients import Completion, Transcription
from handler_base.handler import Context
from handler_base.messages import VoiceRequest
from handler_base.rag import Hit, Retrieval
from handler_base.sessions import Opening, Turn
from voice_assistant.settings import VoiceSettings

__all__ = ["Exchange"]

_LONGEST_CODE: Final = 3


class Exchange:
    """What was asked, by whom, in which conversation; tells the steps as events.

    Args:
        request: The question.
        opening: What the session store knows; all default where there is none.
        settings: What holds where neither the question nor its user says anything.
        context: Where the steps are told.

    Attributes:
        request: The question.
        turns: The conversation so far, oldest first.
        summary: Of what came before those turns.
        session_id: Of the conversation; empty where nothing is remembered.
        wanted_language: The question's, or its user's, or none: then the transcription finds out.
        language: Of the answer.
        model: The user's, or the one for premium users, or the one of all; empty: the server's only one.
        voice: The question's, or the user's, or the one of all.
        wants_rag: Whether both the question and its user want documents.
        transcript: What was asked, once that is known.
        completion: The answer, as far as it is written.
        hits: The passages the answer may rest on.
    """

    def __init__(self, request: VoiceRequest, opening: Opening, settings: VoiceSettings, context: Context) -> None:
        preferences = opening.preferences
        self.request = request
        # A question that is tried again finds its own turn, if the attempt before got that far.
        self.turns = [turn for turn in opening.turns if turn.request_id != request.request_id]
        self.summary = opening.summary
        self.session_id = opening.session_id or request.session_id
        self.wanted_language = request.language or preferences.language
        self.language = self.wanted_language or "en"
        standard = (settings.premium_model if request.premium else "") or settings.llm_model
        self.model = preferences.model or standard
        self.voice = request.voice or preferences.voice or settings.tts_voice
        self.wants_rag = request.enable_rag and preferences.rag
        self.transcript = ""
        self.completion = Completion()
        self.hits: Sequence[Hit] = ()
        self._context = context
        self._started = time.perf_counter()
        context.session_id = self.session_id or request.request_id

    @property
    def latency_ms(self) -> float:
        """Time since the question was admitted."""
        return self.until(time.perf_counter()) * 1000

    @property
    def tokens(self) -> int:
        """What the answer cost."""
        usage = self.completion.usage
        return usage.total_tokens if usage is not None else 0

    def until(self, moment: float) -> float:
        """Return the seconds from the question to a moment on `time.perf_counter`."""
        return moment - self._started

    def turn(self, said: str) -> Turn:
        """Return the question and what was said to it, as the next question sees them."""
        return Turn.of(self.transcript, said, self.request.request_id, int(time.time()))

    def received(self) -> None:
        """Tell of a recorded question."""
        request = self.request
        self._context.record(
            "request_received", bytes=len(request.audio), format=request.format, premium=request.premium
        )

    def overheard(self, transcript: str, audio_ms: int) -> None:
        """Tell of a question in a live session, which comes transcribed: stt-module has told of that.

        Args:
            transcript: What was asked.
            audio_ms: How long its audio is; 0 where that is not known.
        """
        self.transcript = transcript
        self._context.record(
            "request_received",
            text=transcript,
            language=self.language,
            live=True,
            audio_ms=audio_ms,
            premium=self.request.premium,
        )

    def transcribes(self) -> None:
        """Tell that the recording goes to be transcribed."""
        self._context.record("transcription_started", language=self.wanted_language)

    def heard(self, transcript: str, transcription: Transcription) -> None:
        """Take what was understood, and tell it."""
        self.transcript = transcript
        if not self.wanted_language and 2 <= len(transcription.language) <= _LONGEST_CODE:
            self.language = transcription.language
        self._context.record(
            "transcription_completed", text=transcript, language=self.language, premium=self.request.premium
        )

    def searched(self, retrieval: Retrieval, *, collection: str, follow_up: bool) -> None:
        """Tell what the search found."""
        self._context.record(
            "rag_query_executed",
            collection=collection,
            hits=len(retrieval.hits),
            reranked=retrieval.reranked,
            follow_up=follow_up,
        )

    def asks(self) -> None:
        """Tell that the model is asked."""
        self._context.record("llm_inference_started", model=self.model, premium=self.request.premium)

    def answered(self, text: str, *, status: str = "complete") -> None:
        """Tell of the answer, or of what was said of it before it was stopped."""
        usage = self.completion.usage
        self._context.record(
            "llm_response_generated",
            text=text,
            model=self.completion.model,
            prompt_tokens=usage.prompt_tokens if usage is not None else 0,
            completion_tokens=usage.completion_tokens if usage is not None else 0,
            used_rag=bool(self.hits),
            sources=len(self.hits),
            latency_ms=round(self.latency_ms, 1),
            status=status,
            premium=self.request.premium,
        )

    def speaks(self) -> None:
        """Tell that the first words of the answer go to be spoken."""
        self._context.record("tts_synthesis_started", voice=self.voice, language=self.language)

    def spoken(self, seconds: float, size: int) -> None:
        """Tell that the whole answer has its sound."""
        self._context.record("audio_response_ready", seconds=round(seconds, 3), bytes=size)
