"""Live conversation: each final transcript of a session is a turn, answered aloud until its user speaks again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from handler_base.answering import Summaries
from handler_base.errors import DeadlineExceededError, FleetError, QuotaExceededError, UpstreamError
from handler_base.handler import Context
from handler_base.handler.question import detached
from handler_base.messages import STTTranscription, VoiceRequest, VoiceResponse
from handler_base.messages.subjects import VOICE_RESPONSE, is_token
from handler_base.nats_client import NatsConnection
from handler_base.rag import EmbeddedAhead
from handler_base.sessions import Opening
from voice_assistant.answers import answer_to, failed_answer, not_answered, not_heard
from voice_assistant.backends import VoiceBackends
from voice_assistant.exchange import Exchange
from voice_assistant.floor import Floor, Reason
from voice_assistant.floors import Floors
from voice_assistant.hearing import Utterance, utterance_of
from voice_assistant.live_outlet import LiveOutlet
from voice_assistant.live_turn import LiveTurn
from voice_assistant.recordings import NothingHeardError
from voice_assistant.replying import Reply
from voice_assistant.settings import VoiceSettings

__all__ = ["LONGEST_HEARD", "Conversations"]

LONGEST_HEARD: Final = timedelta(minutes=10)
"""Time for an answer to be listened to, on top of the time for making it."""

_MOST_APOLOGIES: Final = 10_000
"""Sessions of which it is known that they were told so."""


class Conversations:
    """Answers what is said in live sessions.

    Args:
        connection: The service's own.
        backends: What is called.
        summaries: Told of the conversation after an answer.
        settings: The service's.
    """

    def __init__(
        self, connection: NatsConnection, backends: VoiceBackends, summaries: Summaries, settings: VoiceSettings
    ) -> None:
        self._backends = backends
        self._summaries = summaries
        self._settings = settings
        self._floors = Floors(connection)
        self._not_understood: dict[str, None] = {}

    async def start(self) -> None:
        """Be ready."""
        await self._floors.start()

    async def stop(self, budget: timedelta) -> None:
        """Let the sessions go; their answers are over by now."""
        await self._floors.stop(budget)

    async def take(self, heard: STTTranscription, context: Context) -> None:
        """Answer what was heard, if it is something to answer; returns when the answer was heard, or stopped."""
        session_id, utterance = context.session_id, utterance_of(heard)
        if utterance is Utterance.NOTHING or not self._converses(session_id):
            return
        request = _request_of(heard, context)
        context.request_id, context.user_id = request.request_id, request.user_id
        if context.age.total_seconds() > self._settings.live_turn_age:
            await self._publish(context, failed_answer(request, DeadlineExceededError("The question waited too long.")))
            return
        if utterance is not Utterance.QUESTION and await self._floors.busy(session_id):
            return  # nobody meant to stop what is being said
        noise = utterance is Utterance.UNINTELLIGIBLE
        if noise and not self._apologises(session_id):
            return
        if not noise:
            self._not_understood.pop(session_id, None)
        question = "" if noise else heard.transcript.strip()
        with self._embedded(question, context) as ahead:
            asked = time.perf_counter()
            floor = await self._floors.take(session_id, context.position, question)
            context.stages.add("floor", time.perf_counter() - asked)
            if floor is None:
                await self._publish(context, _left(request, question))
                return
            await self._hold(floor, _Said(heard, request, context, question, ahead), noise=noise)

    @contextlib.contextmanager
    def _embedded(self, question: str, context: Context) -> Iterator[EmbeddedAhead | None]:
        """Have a question embedded while it is settled who answers it, and what else its user has said."""
        if not question:
            yield None
            return
        ahead = self._backends.retriever.ahead(question, deadline=context.deadline)
        try:
            yield ahead
        finally:
            ahead.close()

    def _converses(self, session_id: str) -> bool:
        """Whether a session is answered, not only transcribed."""
        excepted = self._settings.live_except
        return self._settings.live and not (excepted and session_id.startswith(excepted))

    def _apologises(self, session_id: str) -> bool:
        """Whether somebody is to be told that nothing was understood: once, until something is."""
        if session_id in self._not_understood:
            return False
        self._not_understood[session_id] = None
        if len(self._not_understood) > _MOST_APOLOGIES:
            del self._not_understood[next(iter(self._not_understood))]
        return True

    async def _hold(self, floor: Floor, said: _Said, *, noise: bool) -> None:
        """Answer until nothing is left to answer, or something newer came."""
        context, request = said.context, said.request
        first_id, attempt = request.request_id, 1
        try:
            while True:
                positions = [context.position] if noise else sorted(floor.questions)
                outlet = LiveOutlet(
                    context, request.request_id, lead=self._settings.live_lead, on_sound=floor.hear_cancels
                )
                outlet.listened = not floor.ended
                turn = LiveTurn(outlet)
                floor.say(turn, positions)
                said.question = "" if noise else " ".join(filter(None, map(floor.questions.get, positions)))
                answered = await self._run(floor, turn, said)
                if answered or noise or turn.reason is Reason.ENDED:
                    floor.answered(positions)
                if not floor.goes_on():
                    break
                noise, attempt = False, attempt + 1
                request.request_id = context.request_id = f"{first_id}-{attempt}"
        finally:
            await floor.end()

    async def _run(self, floor: Floor, turn: LiveTurn, said: _Said) -> bool:
        """Give one answer; return whether any of it can have been heard."""
        context, outlet = said.context, turn.outlet
        making = _Making(self._backends, self._summaries, self._settings, said, outlet)
        try:
            response = await turn.run(making.answer)
            # An interrupt may still come when all was heard.
            whole = response is not None
            if response is None:
                response = _left(said.request, said.question, making.heard)
            if turn.spoke or not floor.goes_on():
                await self._publish(context, response)
        finally:
            await outlet.close(making.error)
        return whole or bool(making.heard)

    @staticmethod
    async def _publish(context: Context, response: VoiceResponse) -> None:
        await context.publish(VOICE_RESPONSE.format(request_id=context.session_id), response)


class _Said:
    """What is answered.

    Attributes:
        heard: The last transcript of it.
        request: The question as one of the service's own.
        context: Of that transcript.
        question: All that is to be answered; empty where there is nothing but noise.
        ahead: The embedding of what was heard last, on its way.
    """

    __slots__ = ("ahead", "context", "heard", "question", "request")

    def __init__(
        self,
        heard: STTTranscription,
        request: VoiceRequest,
        context: Context,
        question: str,
        ahead: EmbeddedAhead | None,
    ) -> None:
        self.heard = heard
        self.request = request
        self.context = context
        self.question = question
        self.ahead = ahead


class _Making:
    """One attempt at an answer.

    Attributes:
        error: Why there is none.
        heard: What of it is remembered as having been said, where it was stopped.
    """

    def __init__(
        self,
        backends: VoiceBackends,
        summaries: Summaries,
        settings: VoiceSettings,
        said: _Said,
        outlet: LiveOutlet,
    ) -> None:
        self._backends = backends
        self._summaries = summaries
        self._settings = settings
        self._said = said
        self._outlet = outlet
        self._reply: Reply | None = None
        self.error: FleetError | None = None

    @property
    def heard(self) -> str:
        return self._reply.heard if self._reply is not None else ""

    async def answer(self) -> VoiceResponse:
        """Answer, or say why not."""
        said = self._said
        opening = Opening(said.request.session_id)
        error = _refusal(said)
        if error is None:
            opening = await self._open()
            if opening.retry_after is not None:
                error = QuotaExceededError(retry_after=opening.retry_after)
        exchange = Exchange(said.request, opening, self._settings, said.context)
        if said.question:
            exchange.overheard(said.question, said.heard.audio_ms)
        reply = self._reply = self._reply_to(exchange)
        if error is None:
            try:
                return await reply.answer()
            except FleetError as failure:
                error = detached(failure)
        self.error = error
        words = not_answered if said.question else not_heard
        return await reply.apologise(error, words(exchange.language))

    async def _open(self) -> Opening:
        sessions, request, context = self._backends.sessions, self._said.request, self._said.context
        if not sessions.enabled:
            return Opening(request.session_id)
        asked = time.perf_counter()
        opening = await sessions.begin(
            request.user_id, request.session_id, premium=request.premium, kind="voice", charge=context.attempt == 1
        )
        context.stages.add("memory", time.perf_counter() - asked)
        return opening

    def _reply_to(self, exchange: Exchange) -> Reply:
        context = self._said.context
        return Reply(
            exchange,
            context,
            self._backends,
            self._summaries,
            self._settings,
            outlet=self._outlet,
            deadline=context.deadline.sooner(timedelta(seconds=self._settings.voice_timeout)),
            live=True,
            ahead=self._said.ahead,
        )


def _request_of(heard: STTTranscription, context: Context) -> VoiceRequest:
    """Return an utterance as a question of the service's own; its id is the same however often it is delivered."""
    return VoiceRequest(
        request_id=f"live-{context.position}-{max(heard.timestamp, 0)}",
        user_id=heard.speaker_id if is_token(heard.speaker_id) else "",
        session_id=context.session_id,
    )


def _refusal(said: _Said) -> FleetError | None:
    """Return why there is nothing to answer."""
    if said.question:
        return None
    if said.heard.error_type:
        return UpstreamError("What was said could not be transcribed.")
    return NothingHeardError()


def _left(request: VoiceRequest, question: str, heard: str = "") -> VoiceResponse:
    """Return the answer to what its user wanted no answer to: as much as was heard."""
    response = answer_to(request)
    response.transcription, response.response = question, heard
    return response
