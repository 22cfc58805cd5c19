"""One question on its way to its answer, with what is known of its conversation and of who asks."""

from __future__ import annotations

import time

from chat_handler.settings import ChatSettings
from handler_base.clients import Completion
from handler_base.handler import Context
from handler_base.messages import ChatRequest
from handler_base.rag import Retrieval
from handler_base.sessions import Opening, Turn

__all__ = ["Exchange"]


class Exchange:
    """What was asked, by whom, in which conversation; tells the steps as events.

    Args:
        request: The question.
        opening: What the session store knows; all default where there is none.
        settings: What holds where neither the question nor its user says anything.

    Attributes:
        request: The question.
        turns: The conversation so far, oldest first.
        summary: Of what came before those turns.
        session_id: Of the conversation; empty where nothing is remembered.
        language: The question's, or its user's, or English.
        model: The user's, or the one for premium users, or the one of all; empty: the server's only one.
        voice: The user's, or the one of all.
        wants_rag: Whether both the question and its user want documents.
        completion: The answer, as far as it is written.
    """

    def __init__(self, request: ChatRequest, opening: Opening, settings: ChatSettings) -> None:
        preferences = opening.preferences
        self.request = request
        # A question that is tried again finds its own turn, if the attempt before got that far.
        self.turns = [turn for turn in opening.turns if turn.request_id != request.request_id]
        self.summary = opening.summary
        self.session_id = opening.session_id or request.session_id
        self.language = request.language or preferences.language or "en"
        standard = (settings.premium_model if request.premium else "") or settings.llm_model
        self.model = preferences.model or standard
        self.voice = preferences.voice or settings.tts_voice
        self.wants_rag = request.enable_rag and preferences.rag
        self.completion = Completion()
        self._started = time.perf_counter()

    @property
    def turn(self) -> Turn:
        """The question and its answer, as the next question sees them."""
        request = self.request
        return Turn.of(request.question, self.completion.text, request.request_id, int(time.time()))

    @property
    def tokens(self) -> int:
        """What the answer cost."""
        usage = self.completion.usage
        return usage.total_tokens if usage is not None else 0

    @property
    def latency_ms(self) -> float:
        """Time since the question was admitted."""
        return (time.perf_counter() - self._started) * 1000

    def received(self, context: Context, *, created: bool) -> None:
        """Tell of the question, and of the conversation that begins with it."""
        request = self.request
        context.session_id = self.session_id or request.request_id
        if created:
            context.record("session_created", type="chat", username=request.username, premium=request.premium)
        context.record(
            "message_received",
            text=request.question,
            username=request.username,
            premium=request.premium,
            language=self.language,
        )

    def searched(self, context: Context, retrieval: Retrieval, *, collection: str, follow_up: bool) -> None:
        """Tell what the search found."""
        context.record(
            "rag_query_executed",
            collection=collection,
            hits=len(retrieval.hits),
            reranked=retrieval.reranked,
            follow_up=follow_up,
        )

    def asks(self, context: Context) -> None:
        """Tell that the model is asked."""
        context.record("inference_requested", model=self.model, premium=self.request.premium)

    def answered(self, context: Context, *, sources: int, status: str = "complete") -> None:
        """Tell of the answer."""
        usage = self.completion.usage
        context.record(
            "response_generated",
            text=self.completion.text,
            model=self.completion.model,
            prompt_tokens=usage.prompt_tokens if usage is not None else 0,
            completion_tokens=usage.completion_tokens if usage is not None else 0,
            used_rag=sources > 0,
            sources=sources,
            latency_ms=round(self.latency_ms, 1),
            status=status,
            premium=self.request.premium,
        )
