"""The sessions that a replica has: how they come to it, live and go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from handler_base.errors import FleetError, InternalError
from handler_base.live.arrivals import Arrival, encoding_of, in_order
from handler_base.live.early import Early
from handler_base.live.endpoint import End, LiveEndpoint, LiveLimits, LiveWork
from handler_base.live.members import Members
from handler_base.live.passing import Done, Passing
from handler_base.live.records import Known, Record, RecordFence, Records
from handler_base.live.ring import MARGIN, Ring
from handler_base.live.run import SessionRun
from handler_base.live.session import Answers, LiveSession, OwnershipLostError
from handler_base.messages import Encoding
from handler_base.nats_client import EndpointStats, EventLog, Msg, NatsConnection, Subscription, WrongSequenceError
from handler_base.telemetry import metrics

__all__ = ["SessionTable", "TableParts"]

log = logging.getLogger(__name__)

_SKEW: Final = 0.1
"""Seconds by which the clocks of two replicas may differ."""


@dataclass(frozen=True, slots=True)
class TableParts:
    """What sessions are made of.

    Attributes:
        endpoint: Whose sessions.
        open_work: Opens what works in one.
        connection: Where the messages come from.
        answers: Says things to clients.
        stats: Counts the messages.
        limits: What the sessions may take.
        events: Where the sessions tell of their steps.
    """

    endpoint: LiveEndpoint
    open_work: Callable[[LiveSession], LiveWork]
    connection: NatsConnection
    answers: Answers
    stats: EndpointStats
    limits: LiveLimits
    events: EventLog | None


class SessionTable:
    """The sessions of one endpoint at this replica.

    Args:
        parts: What they are made of.
        records: Which replica has which.
        members: Which replicas live.
        passing: Passes messages on.
        ring: What others may not have heard.
        early: What is told of sessions whose record has not come.
        heard: Takes a message that its session did not take any more.
        ended: Told of a session that is over.
    """

    def __init__(
        self,
        parts: TableParts,
        records: Records,
        members: Members,
        passing: Passing,
        ring: Ring,
        *,
        early: Early,
        heard: Callable[[str, Arrival], None],
        ended: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._records = records
        self._members = members
        self._passing = passing
        self._ring = ring
        self._early = early
        self._heard = heard
        self._ended = ended
        self._runs: dict[str, SessionRun] = {}
        self._living: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[SessionRun]:
        return iter(list(self._runs.values()))

    def on(self, subject: str) -> SessionRun | None:
        """Return the session of a subject."""
        return self._runs.get(subject)

    def get(self, session_id: str) -> SessionRun | None:
        """Return a session by its id."""
        return self._runs.get(self._parts.endpoint.subject.format(session_id=session_id))

    @property
    def living(self) -> list[asyncio.Task[None]]:
        """What runs."""
        return list(self._living.values())

    def lose(self, run: SessionRun) -> None:
        """Let go of a session that is another's."""
        task = self._living.get(run.session_id)
        if task is not None:
            task.cancel()

    def open(self, session_id: str, known: Known | None, *arrivals: Arrival) -> None:
        """Have a session live here.

        Args:
            session_id: Its id.
            known: What is known of it; None for a new one.
            *arrivals: Its first messages.
        """
        parts = self._parts
        run = SessionRun(
            parts.endpoint,
            session_id,
            parts.open_work,
            parts.answers,
            parts.stats,
            inbox_bytes=parts.limits.inbox_bytes,
            events=parts.events,
        )
        if known is None:
            # What somebody still has of an earlier session of this name is not of this one.
            run.since = min((arrival.at for arrival in arrivals), default=time.time()) - _SKEW
        told = self._early.take(session_id)
        left = self.left(session_id, known.record, known.record) if known is not None else ()
        for arrival in (*told.made, *left, *arrivals):
            _ = run.put(arrival)
        for done in told.done:
            run.add_done(done)
        subject = parts.endpoint.subject.format(session_id=session_id)
        self._runs[subject] = run
        task = asyncio.get_running_loop().create_task(self._live(run, known))
        self._living[session_id] = task
        task.add_done_callback(lambda _: self._living.pop(session_id, None))

    def left(self, session_id: str, before: Record | None, now: Record) -> list[Arrival]:
        """Return the messages of a session that nobody is known to have heard.

        Args:
            session_id: The session.
            before: What was known of it. Where its owner died, what came after the last sign of life counts: it had
                the messages before that, and the copies of them are not all there.
            now: What is known of it now.
        """
        until = now.until
        if before is not None and not before.giver and not self._members.lives(before.owner):
            until = max(until, self._members.seen(before.owner))
        elif until:
            until -= MARGIN  # which of them were heard, the marks of the owner before tell
        return self._ring.take(session_id, until)

    def pass_on(self, session_id: str, known: Known, before: Record | None) -> None:
        """Pass on what is here of a session that another replica has taken; see `left`."""
        owner = known.record.owner
        self._passing.on(owner, session_id, self.left(session_id, before, known.record))
        self._passing.done(owner, session_id, Done(self._members.replica, known.revision))

    async def _live(self, run: SessionRun, known: Known | None) -> None:
        """The life of a session here."""
        subject = self._parts.endpoint.subject.format(session_id=run.session_id)
        run.listening = listening = self._parts.connection.listen(subject, partial(_on_direct, run))
        try:
            # Who sees the record may rely on it that everything from then on is heard here.
            await self._parts.connection.flush()
            run.fence = fence = await self._claim(run, known)
            await self._settle(run, known, fence)
            await run.run()
            if run.leaving and not run.over:
                # It may be told to leave before it listens.
                await listening.drain()
                await run.run()
            if run.over:
                await self._end(run, fence, listening)
            elif run.leaving:
                await self._hand_over(run, fence)
        except WrongSequenceError:
            await self._yield(run)
        except OwnershipLostError:
            pass
        except FleetError as error:
            await self._parts.answers.refuse(run.session_id, run.encoding or Encoding.MSGPACK, error)
        except Exception:
            # Whatever it is, it must not go unseen, nor end others.
            metrics.SWALLOWED_ERRORS.of("live.session").inc()
            log.exception("a session failed", extra={"session_id": run.session_id})
            await self._parts.answers.refuse(run.session_id, run.encoding or Encoding.MSGPACK, InternalError())
        finally:
            await listening.unsubscribe()
            # What it hears by holds it: a circle that only the garbage collector would find.
            run.listening = None
            if self._runs.get(subject) is run:
                del self._runs[subject]
            run.drop()
        self._part_with(run)

    async def _end(self, run: SessionRun, fence: RecordFence, listening: Subscription) -> None:
        """Let go of a session that is over."""
        # What comes from here on, others may be the only ones to hear.
        closed_at = time.time()
        run.closing = True
        await listening.drain()
        if run.ended_by is not End.STOPPED:
            self._ended(run.session_id)
            await self._forget(fence, closed_at)

    def _part_with(self, run: SessionRun) -> None:
        """See to what came for a session that is not here any more."""
        if run.over:
            for arrival in in_order(self._parts.endpoint, run.waiting):
                self._heard(run.session_id, arrival)
        known = self._records.get(run.session_id)
        if known is not None and not known.record.giver and known.record.owner != self._members.replica:
            # That it was taken may have been told while it was still here.
            self.pass_on(run.session_id, known, None)

    async def _settle(self, run: SessionRun, known: Known | None, fence: RecordFence) -> None:
        """Wait for what others have of a session that was just taken."""
        given = known.record.giver if known is not None else ""
        if known is not None and given:
            await run.settle(lambda: {given, *self._members.others}, known.revision, known.record.until)
        else:
            await run.settle(lambda: self._members.others, fence.revision, fence.record.until)

    async def _claim(self, run: SessionRun, known: Known | None) -> RecordFence:
        """Take a session: a new one, one whose owner died, or one that was handed over."""
        record, revision = Record(self._members.replica, 1, 0.0), 0
        if known is not None:
            before = known.record
            run.encoding, run.resumed = Encoding(before.encoding), before.state
            record, revision = before, known.revision
            if before.owner != self._members.replica:
                metrics.LIVE_TAKEOVERS.of(self._parts.endpoint.subject.template, "died").inc()
                mine, generation = self._members.replica, before.generation + 1
                record = Record(mine, generation, before.until, before.encoding, before.state)
            elif before.giver:
                # From now on all of it is heard here: the others tell what they have by this.
                record = msgspec.structs.replace(before, giver="")
        else:
            run.encoding = next((encoding_of(arrival.msg) for arrival in run.waiting), Encoding.MSGPACK)
            record.encoding = run.encoding.value
        if known is None:
            revision = await self._records.begin(run.session_id, record)
        elif record is not known.record:
            revision = await self._records.write(run.session_id, record, revision)
        return RecordFence(self._records, run.session_id, record, revision, self._members.holds)

    async def _forget(self, fence: RecordFence, until: float) -> None:
        try:
            await fence.forget(until)
        except FleetError:
            # It stays in the bucket until that forgets it; whoever finds it there finds nobody to have it.
            metrics.SWALLOWED_ERRORS.of("live.forget").inc()

    async def _yield(self, run: SessionRun) -> None:
        """Another replica was quicker: it gets what came here."""
        found = await self._records.fetch(run.session_id)
        if found is not None and found.record.owner != self._members.replica:
            self._passing.on(found.record.owner, run.session_id, run.waiting)
            self._passing.done(found.record.owner, run.session_id, Done(self._members.replica, found.revision))

    async def leave(self, run: SessionRun) -> None:
        """Have a session go on elsewhere."""
        living = self._living.get(run.session_id)
        if living is None:
            return
        if run.listening is not None:
            await run.listening.drain()
        if self._members.successor(run.session_id):
            run.leave()
        else:
            run.end(End.STOPPED)
        await asyncio.wait({living})

    async def _hand_over(self, run: SessionRun, fence: RecordFence) -> None:
        mine, session_id, successor = self._members.replica, run.session_id, self._members.successor(run.session_id)
        if not successor:
            # The last one it could go to went as well.
            run.end(End.STOPPED)
            await run.run()
            return
        left = await run.unfinished()
        self._passing.made(successor, session_id, left, after=run.heard_until)
        await fence.pass_on(successor, run.heard_until, mine)
        self._passing.done(successor, session_id, Done(mine, fence.revision, run.heard))


def _on_direct(run: SessionRun, msg: Msg) -> None:
    run.direct = True
    run.take_in(Arrival(msg, time.time()))
