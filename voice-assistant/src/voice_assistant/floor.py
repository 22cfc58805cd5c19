"""Who speaks in a live session: one answer at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Final, Protocol

from handler_base.messages import CancelRequest
from handler_base.messages.subjects import STT_TRANSCRIPTION, TTS_CANCEL
from handler_base.nats_client import Msg, NatsConnection, Subscription
from voice_assistant.hearing import Signal, body_of, signal_of

__all__ = ["Floor", "Reason", "Speaking"]

_KEEP_UNANSWERED: Final = 60.0
"""Seconds after which a question that was interrupted is not asked again together with the next."""


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

    @property
    def reason(self) -> Reason | None:
        """Why it was stopped; None while it was not."""
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
        newest: Position of the newest question that came to this replica.
        questions: Those that have no answer, by position; of other replicas, too.
        turn: What is being said.
        ended: Whether the session is over.
        held: Whether the session is this replica's.
        revision: Of the entry that says so; 0 where there is none.
        entry: Who has it may begin to speak.
    """

    def __init__(
        self, session_id: str, connection: NatsConnection, on_release: Callable[[Floor], Awaitable[None]]
    ) -> None:
        self.session_id = session_id
        self.newest = 0
        self.questions: dict[int, str] = {}
        self.turn: Speaking | None = None
        self.ended = False
        self.held = False
        self.revision = 0
        self.entry = asyncio.Lock()
        self._connection = connection
        self._on_release = on_release
        self._heard: Subscription | None = None
        self._cancels: Subscription | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._silencing = 0
        self._answering = 0
        self._told = False
        self._expiry: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether something is being answered, or about to be."""
        return not self._idle.is_set() or self.entry.locked()

    def hold(self, revision: int) -> None:
        """Take the session: hear interrupts, and its end."""
        self.held, self.revision = True, revision
        self._heard = self._connection.listen(STT_TRANSCRIPTION.format(session_id=self.session_id), self._on_heard)

    def hear_cancels(self) -> None:
        """While something is heard, it can also be stopped by the message that cancels speech."""
        self._cancels = self._connection.listen(TTS_CANCEL.format(session_id=self.session_id), self._on_cancel)

    def note(self, position: int, question: str) -> None:
        """Take in a question that came to this replica."""
        self.newest = max(self.newest, position)
        self.questions[position] = question
        self._keep()

    def tell(self, questions: dict[int, str]) -> None:
        """Take in questions that came to another replica; whoever answers here answers them as well."""
        self.questions |= questions
        self._told = True
        if self.turn is None or self.turn.reason is not None:
            return
        if not self.turn.spoke:
            self.turn.stop(Reason.MORE)
        elif max(questions) > self._answering:
            self.turn.stop(Reason.SUPERSEDED)

    def answered(self, positions: Iterable[int]) -> None:
        """Strike questions off."""
        for position in positions:
            self.questions.pop(position, None)

    def over(self) -> None:
        """The session is over: an answer that is being heard stops, one to what was said last is still given."""
        self.ended = True
        if self.turn is not None:
            self.turn.unheard()
            if self.turn.spoke:
                self.turn.stop(Reason.ENDED)

    def begin(self) -> None:
        """Somebody starts to answer."""
        self._idle.clear()
        self._keep()

    def say(self, turn: Speaking, positions: list[int]) -> None:
        """These questions are answered now."""
        self.turn, self._answering, self._told = turn, max(positions, default=0), False

    def goes_on(self) -> bool:
        """Whether whoever answers is to answer what another replica told of meanwhile."""
        return self._told and not self._silencing

    async def end(self) -> None:
        """Nothing is answered any more: whoever waits for silence has it."""
        self.turn = None
        if self._cancels is not None:
            await self._cancels.unsubscribe()
            self._cancels = None
        self._idle.set()
        if not self.questions:
            await self.release()
        elif not self.entry.locked():
            self._expiry = asyncio.get_running_loop().call_later(_KEEP_UNANSWERED, self.expire)

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
        self.held = False
        heard, self._heard = self._heard, None
        if heard is not None:
            await heard.unsubscribe()
        await self._on_release(self)

    def _keep(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def expire(self) -> None:
        """Forget what was not answered, and let the session go."""
        self._keep()
        self.held = False
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
