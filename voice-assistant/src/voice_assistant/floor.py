"""Who speaks in a live session: one replica at a time, one answer at a time.

Any replica may get the next question of a session. It asks on the session's floor subject before it answers: whoever
answers there stops, and hands over what it left unanswered. Where nobody listens the server says so at once, and the
session is free. Two replicas that find it free in the same moment learn of each other from the claim that each sends
again once it listens: the newer question stays, and takes the older one along.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol

from handler_base.errors import FleetError, UpstreamUnavailableError
from handler_base.messages import CancelRequest, VoiceFloor, encode
from handler_base.messages.subjects import STT_TRANSCRIPTION, TTS_CANCEL, VOICE_FLOOR
from handler_base.nats_client import Msg, NatsConnection, Subscription
from handler_base.telemetry import metrics
from voice_assistant.hearing import Signal, body_of, signal_of

__all__ = ["Floor", "Floors", "Reason", "Speaking"]

log = logging.getLogger(__name__)

_HAND_OVER: Final = timedelta(milliseconds=500)
"""How long another replica may take to stop; then it is taken for gone."""

_KEEP_UNANSWERED: Final = 60.0
"""Seconds after which a question that was interrupted is not asked again together with the next."""

_STANDING: Final = 2
"""Subscriptions of a session in which nothing is heard."""


class Reason(StrEnum):
    """Why an answer was stopped."""

    INTERRUPTED = "interrupted"
    """Its user began to speak."""
    SUPERSEDED = "superseded"
    """A newer question came."""
    MORE = "more"
    """A question came that is to be answered together with this one."""
    ENDED = "ended"
    """The session is over, or its user wants no answer."""


class Speaking(Protocol):
    """An answer that is being made or spoken."""

    @property
    def spoke(self) -> bool:
        """Whether sound of it went out."""
        ...

    def stop(self, reason: Reason) -> None:
        """Let nothing more of it leave."""
        ...

    def unheard(self) -> None:
        """Nobody listens to the session any more."""
        ...


class Floor:
    """A session in which this replica speaks, or left a question unanswered.

    Args:
        session_id: Which.
        connection: Where it is listened to.
        on_release: Called when it is let go.

    Attributes:
        newest: Position of the newest question.
        questions: Those that have no answer, by position.
        turn: What is being said.
        ended: Whether the session is over.
    """

    def __init__(self, session_id: str, connection: NatsConnection, on_release: Callable[[Floor], object]) -> None:
        self.session_id = session_id
        self.newest = 0
        self.questions: dict[int, str] = {}
        self.turn: Speaking | None = None
        self.ended = False
        self.entry = asyncio.Lock()
        self._connection = connection
        self._on_release = on_release
        self._subscriptions: list[Subscription] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._silencing = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether this replica has claimed it."""
        return bool(self._subscriptions)

    def listen(self, on_claim: Callable[[Floor, Msg], None]) -> None:
        """Hear the claims of others, and interrupts."""
        floor = VOICE_FLOOR.format(session_id=self.session_id)
        heard = STT_TRANSCRIPTION.format(session_id=self.session_id)
        self._subscriptions = [
            self._connection.listen(floor, lambda msg: on_claim(self, msg)),
            self._connection.listen(heard, self._on_heard),
        ]

    def listen_while_sounding(self) -> None:
        """Hear also the message that cancels speech."""
        cancel = TTS_CANCEL.format(session_id=self.session_id)
        self._subscriptions.append(self._connection.listen(cancel, self._on_cancel))

    def note(self, position: int, question: str) -> None:
        """Take a question in."""
        self.newest = max(self.newest, position)
        self.questions[position] = question
        self._keep()

    def add(self, questions: dict[int, str]) -> None:
        """Take in what another replica left unanswered; an answer of which nothing was heard begins anew with it."""
        if questions.keys() <= self.questions.keys():
            return
        self.questions |= questions
        if self.turn is not None and not self.turn.spoke:
            self.turn.stop(Reason.MORE)

    def over(self) -> None:
        """The session is over: an answer that is being heard stops, one to what was said last is still given."""
        self.ended = True
        if self.turn is not None:
            self.turn.unheard()
            if self.turn.spoke:
                self.turn.stop(Reason.ENDED)

    def answered(self, positions: Iterable[int]) -> None:
        """Strike questions off."""
        for position in positions:
            self.questions.pop(position, None)

    def begin(self) -> None:
        """A runner starts to answer."""
        self._idle.clear()
        self._keep()

    def goes_on(self, reason: Reason | None) -> bool:
        """Whether an answer that was stopped is begun anew, with what came in."""
        return reason is Reason.MORE and not self._silencing

    async def end(self) -> None:
        """The runner is done: whoever waits for silence has it."""
        self.turn = None
        while len(self._subscriptions) > _STANDING:
            await self._subscriptions.pop().unsubscribe()
        self._idle.set()
        if not self.questions:
            await self.release()
        elif self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(_KEEP_UNANSWERED, self._expire)

    async def silence(self) -> None:
        """Stop what is being said, and wait until that is remembered."""
        self._silencing += 1
        try:
            if self.turn is not None:
                self.turn.stop(Reason.SUPERSEDED)
            await self._idle.wait()
        finally:
            self._silencing -= 1

    async def release(self) -> None:
        """Let the session go."""
        self._keep()
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.unsubscribe()
        self._on_release(self)

    def _keep(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        self._expiry = None
        self.questions.clear()
        self._closing = asyncio.get_running_loop().create_task(self.release(), name="release-floor")

    def _on_heard(self, msg: Msg) -> None:
        signal = signal_of(msg) if self.turn is not None else Signal.NONE
        if signal is Signal.ENDED:
            self.over()
        # While nothing is heard of the answer nobody can mean to interrupt it.
        elif signal is Signal.INTERRUPT and self.turn is not None and self.turn.spoke:
            self.turn.stop(Reason.INTERRUPTED)

    def _on_cancel(self, msg: Msg) -> None:
        message = body_of(msg, CancelRequest) if msg.data else None
        # A request id is that of a speech which the client asked for itself.
        if self.turn is not None and (message is None or not message.request_id):
            self.turn.stop(Reason.ENDED)


class Floors:
    """The sessions of this replica, and the way to those of others.

    Args:
        connection: The service's own.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._held: dict[str, Floor] = {}
        self._inbox = connection.new_inbox()
        self._replies: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._held)

    async def start(self) -> None:
        """Be ready to hear what others left unanswered."""
        self._replies = self._connection.listen(f"{self._inbox}.*", self._on_left)

    async def stop(self, budget: timedelta) -> None:
        """Let all sessions go."""
        del budget
        for floor in list(self._held.values()):
            await floor.release()
        if self._replies is not None:
            await self._replies.unsubscribe()

    async def take(self, session_id: str, position: int, question: str) -> Floor | None:
        """Get the floor for a question; what is being said there is stopped.

        Returns:
            The floor, with every question that is to be answered now; None when this one is answered together with a
            newer one.
        """
        floor = self._held.get(session_id)
        if floor is None:
            floor = self._held[session_id] = Floor(session_id, self._connection, self._forget)
        floor.note(position, question)
        async with floor.entry:
            # Another replica may have taken the question along by now.
            if position < floor.newest or position not in floor.questions:
                return None
            if not floor.held and not await self._claim(floor):
                return None
            await floor.silence()
            floor.begin()
        return floor

    async def busy(self, session_id: str) -> bool:
        """Whether a replica speaks in a session, or has a question to answer there."""
        floor = self._held.get(session_id)
        if floor is not None:
            return floor.turn is not None
        return await self._ask(VoiceFloor(session_id=session_id)) is not None

    def _forget(self, floor: Floor) -> None:
        if self._held.get(floor.session_id) is floor:
            del self._held[floor.session_id]

    async def _claim(self, floor: Floor) -> bool:
        claim = VoiceFloor(session_id=floor.session_id, position=floor.newest, questions=_written(floor.questions))
        answer = await self._ask(claim)
        if answer is not None and answer.taken:
            floor.questions.clear()
            await floor.release()
            return False
        if answer is not None:
            floor.questions |= _read(answer.questions)
        floor.listen(self._on_claim)
        self._connection.send(
            VOICE_FLOOR.format(session_id=floor.session_id), encode(claim), reply=f"{self._inbox}.{floor.session_id}"
        )
        return True

    async def _ask(self, claim: VoiceFloor) -> VoiceFloor | None:
        try:
            msg = await self._connection.request(
                VOICE_FLOOR.format(session_id=claim.session_id), encode(claim), timeout=_HAND_OVER
            )
        except UpstreamUnavailableError:
            return None  # nobody speaks there
        except FleetError as error:
            metrics.SWALLOWED_ERRORS.of("floor").inc()
            log.warning("nothing was heard of who speaks in a session", extra={"error_type": error.type.value})
            return None
        return body_of(msg, VoiceFloor)

    def _on_claim(self, floor: Floor, msg: Msg) -> None:
        if msg.reply.startswith(f"{self._inbox}."):
            return  # our own
        claim = body_of(msg, VoiceFloor)
        if claim is None:
            return
        task = asyncio.get_running_loop().create_task(self._hand_over(floor, claim, msg.reply), name="hand-over")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, floor: Floor, claim: VoiceFloor, reply: str) -> None:
        async with floor.entry:
            answer = VoiceFloor(session_id=floor.session_id, position=floor.newest, taken=claim.position < floor.newest)
            if answer.taken:
                floor.add(_read(claim.questions))
            elif floor.held:
                await floor.silence()
                answer.questions = _written(floor.questions)
                floor.questions.clear()
                await floor.release()
            if reply:
                self._connection.send(reply, encode(answer))

    def _on_left(self, msg: Msg) -> None:
        """Hear from a replica that claimed the same session in the same moment."""
        floor = self._held.get(msg.subject.rpartition(".")[2])
        answer = body_of(msg, VoiceFloor) if not msg.status else None
        if floor is None or answer is None:
            return
        if not answer.taken:
            floor.add(_read(answer.questions))
        elif answer.position > floor.newest and floor.turn is not None:
            # What was asked here went with the claim.
            floor.questions.clear()
            floor.turn.stop(Reason.SUPERSEDED)


def _written(questions: dict[int, str]) -> dict[str, str]:
    return {str(position): question for position, question in questions.items()}


def _read(questions: dict[str, str]) -> dict[int, str]:
    return {int(position): question for position, question in questions.items() if position.isdecimal()}
