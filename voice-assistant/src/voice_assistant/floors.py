"""The live sessions of this replica, and the way to those of others.

A session belongs to the replica that answers in it, for as long as it does: an entry of a bucket says which that is,
and compare-and-set sees to it that there is one. A replica that gets the next question of a session in which another
one speaks tells that one, which answers it. A replica that is gone listens to nobody, and its sessions are taken over.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError, UpstreamUnavailableError
from handler_base.messages import VoiceFloor, encode
from handler_base.messages.streams import VOICE_SESSIONS
from handler_base.messages.subjects import VOICE_FLOOR
from handler_base.nats_client import KeyValue, KeyValueEntry, Msg, NatsConnection, Subscription, WrongSequenceError
from handler_base.telemetry import metrics
from voice_assistant.floor import Floor
from voice_assistant.hearing import body_of

__all__ = ["Floors"]

log = logging.getLogger(__name__)

_ANSWER_WITHIN: Final = timedelta(milliseconds=500)
"""A replica that takes longer to say whether a session is its own is taken for gone."""

_PAUSE: Final = 0.002
"""Seconds until a replica that just let a session go has said so in the bucket."""

_MOST_ATTEMPTS: Final = 50


class Floors:
    """Gives questions of live sessions to whoever is to answer them.

    Args:
        connection: The service's own.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._sessions = KeyValue(connection, VOICE_SESSIONS)
        self._replica = secrets.token_hex(8)
        self._held: dict[str, Floor] = {}
        self._subscription: Subscription | None = None

    def __len__(self) -> int:
        return len(self._held)

    async def start(self) -> None:
        """Be ready to hear of questions that came to other replicas."""
        subject = VOICE_FLOOR.format(replica_id=self._replica)
        self._subscription = self._connection.listen(subject, self._on_told)

    async def stop(self, budget: timedelta) -> None:
        """Let all sessions go."""
        del budget
        for floor in list(self._held.values()):
            floor.questions.clear()
            await floor.release()
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def take(self, session_id: str, position: int, question: str) -> Floor | None:
        """Get the floor for a question; what is being said there is stopped.

        Returns:
            The floor, with every question that is to be answered now; None when this one is answered together with
            others.
        """
        floor = self._held.get(session_id)
        if floor is None:
            floor = self._held[session_id] = Floor(session_id, self._connection, self._let_go)
        floor.note(position, question)
        async with floor.entry:
            # Another replica may have been told of it by now.
            if position not in floor.questions or not (floor.held or await self._claim(floor)):
                return None
            await floor.silence()
            if position < floor.newest:
                return None
            floor.begin()
        return floor

    async def busy(self, session_id: str) -> bool:
        """Whether a replica speaks in a session, or has a question to answer there."""
        floor = self._held.get(session_id)
        if floor is not None:
            return floor.running
        try:
            entry = await self._sessions.get(session_id)
        except FleetError:
            return False
        answer = await self._ask(entry, VoiceFloor(session_id=session_id)) if entry is not None else None
        return answer is not None and answer.taken

    async def _claim(self, floor: Floor) -> bool:
        """Make a session this replica's; False where another one has it, and was told of the questions here."""
        for _ in range(_MOST_ATTEMPTS):
            try:
                if await self._seize(floor):
                    return True
            except FleetError as error:
                metrics.SWALLOWED_ERRORS.of("floor").inc()
                log.warning("a session cannot be claimed", extra={"error_type": error.type.value})
                break
            if not floor.questions:
                self._forget(floor)
                return False
        # An answer from two is better than one from nobody.
        floor.hold(0)
        return True

    async def _seize(self, floor: Floor) -> bool:
        """Try once; whoever has the session is told of the questions."""
        entry = await self._settle(floor, 0)
        if floor.held or entry is None:
            return floor.held
        told = dict(floor.questions)
        answer = await self._ask(
            entry, VoiceFloor(session_id=floor.session_id, position=max(told), questions=_written(told))
        )
        if answer is None:
            await self._settle(floor, entry.revision)
        elif answer.taken:
            floor.answered(told)
        else:
            floor.questions |= _read(answer.questions)
            await asyncio.sleep(_PAUSE)
        return floor.held

    async def _settle(self, floor: Floor, revision: int) -> KeyValueEntry | None:
        """Write that a session is this replica's, unless its entry changed; return the entry that is there instead."""
        try:
            written = await self._sessions.update(floor.session_id, self._replica.encode(), revision)
        except WrongSequenceError:
            return await self._sessions.get(floor.session_id)
        floor.hold(written)
        return None

    async def _ask(self, entry: KeyValueEntry, claim: VoiceFloor) -> VoiceFloor | None:
        """Tell the replica that has a session of questions; None where it is gone."""
        subject = VOICE_FLOOR.format(replica_id=entry.value.decode("ascii", "replace"))
        try:
            msg = await self._connection.request(subject, encode(claim), timeout=_ANSWER_WITHIN)
        except UpstreamUnavailableError:
            return None
        except FleetError as error:
            metrics.SWALLOWED_ERRORS.of("floor").inc()
            log.warning("a replica that speaks in a session does not answer", extra={"error_type": error.type.value})
            return None
        return body_of(msg, VoiceFloor)

    def _on_told(self, msg: Msg) -> None:
        """Say whether a session is this replica's, and take in what came for it elsewhere."""
        claim = body_of(msg, VoiceFloor)
        if claim is None or not msg.reply:
            return
        floor = self._held.get(claim.session_id)
        answer = VoiceFloor(session_id=claim.session_id)
        questions = _read(claim.questions)
        if floor is not None and floor.held:
            answer.taken = floor.running
            if floor.running and questions:
                floor.tell(questions)
            elif questions:
                # Nothing is said here: what was interrupted before it could be heard goes along.
                answer.questions = _written(floor.questions)
                floor.questions.clear()
                self._connection.send(msg.reply, encode(answer))
                floor.expire()
                return
        self._connection.send(msg.reply, encode(answer))

    async def _let_go(self, floor: Floor) -> None:
        self._forget(floor)
        if not floor.revision:
            return
        try:
            await self._sessions.drop(floor.session_id, floor.revision)
        except FleetError:
            # Its entry is passed over as soon as this replica says that the session is not its own.
            metrics.SWALLOWED_ERRORS.of("floor").inc()

    def _forget(self, floor: Floor) -> None:
        if self._held.get(floor.session_id) is floor:
            del self._held[floor.session_id]


def _written(questions: dict[int, str]) -> dict[str, str]:
    return {str(position): question for position, question in questions.items()}


def _read(questions: dict[str, str]) -> dict[int, str]:
    return {int(position): question for position, question in questions.items() if position.isdecimal()}
