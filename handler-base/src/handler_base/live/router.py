"""Brings each message of a session to the one replica that has it.

Every replica listens to all sessions in one queue group, so that each message comes to one of them at least; the one
that has a session listens to its subject besides, and so hears all of it. A message that comes by the group to a
replica that does not have its session opens the session where nobody has it, and is kept for a moment otherwise, in
case the one that has it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from handler_base.errors import FleetError, InvalidRequestError, NotFoundError, OverloadedError, PayloadTooLargeError
from handler_base.live.arrivals import Arrival, encoding_of, read
from handler_base.live.deafness import Deafness
from handler_base.live.early import Early
from handler_base.live.endpoint import End, LiveEndpoint, LiveLimits, LiveWork, Step
from handler_base.live.members import Members
from handler_base.live.passing import Done, Passing
from handler_base.live.records import Known, RecordFence, Records
from handler_base.live.ring import Ring
from handler_base.live.run import SessionRun
from handler_base.live.session import Answers, LiveSession
from handler_base.live.table import SessionTable, TableParts
from handler_base.messages.subjects import is_token
from handler_base.nats_client import (
    EndpointStats,
    EventLog,
    KeyValue,
    KeyValueEntry,
    KeyWatch,
    Msg,
    NatsConnection,
    Subscription,
)
from handler_base.telemetry import metrics

__all__ = ["LiveRouter"]

log = logging.getLogger(__name__)

_SWEEP: Final = 0.1
_MEMBER: Final = "member."
_UNKNOWN_FOR: Final = 0.25
"""Seconds in which a session that is being opened elsewhere becomes known."""

_REFRESH: Final = 1200.0
"""Seconds after which a record is kept anew, before the bucket forgets it."""


class LiveRouter:
    """The sessions of one endpoint at this replica.

    Args:
        endpoint: Whose sessions.
        open_work: Opens what works in one.
        connection: Where the messages come from.
        group: Name of the service: its replicas share the sessions.
        limits: What the sessions may take.
        stats: Counts the messages.
        events: Where the sessions tell of their steps.

    Attributes:
        replica: Id of this one.
    """

    def __init__(
        self,
        endpoint: LiveEndpoint,
        open_work: Callable[[LiveSession], LiveWork],
        connection: NatsConnection,
        *,
        group: str,
        limits: LiveLimits,
        stats: EndpointStats,
        events: EventLog | None = None,
    ) -> None:
        self.replica = secrets.token_hex(8)
        self._endpoint = endpoint
        self._connection = connection
        self._group = group
        self._limits = limits
        self._answers = Answers(connection, endpoint)
        self._passing = Passing(connection, endpoint)
        self._ring = Ring()
        self._early = Early()
        self._deaf = Deafness()
        self._records = Records(KeyValue(connection, endpoint.bucket), self._on_record)
        self._members = Members(
            connection, f"$KV.{endpoint.bucket.name}.{_MEMBER}{self.replica}", self.replica, self._room
        )
        self._table = SessionTable(
            TableParts(endpoint, open_work, connection, self._answers, stats, limits, events),
            self._records,
            self._members,
            self._passing,
            self._ring,
            early=self._early,
            heard=self._again,
            ended=self._deaf.add,
        )
        self._watch = KeyWatch(connection, endpoint.bucket, self._on_change)
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []
        self._sweeping: asyncio.Task[None] | None = None
        self._stop_following: Callable[[], None] | None = None
        self._dropping: asyncio.Task[None] | None = None
        self._going: set[asyncio.Task[None]] = set()
        self._leaving = self._stopped = False

    @property
    def template(self) -> str:
        """Template of the subject that the sessions come on."""
        return self._endpoint.subject.template

    @property
    def sessions(self) -> int:
        """Sessions that are here."""
        return len(self._table)

    @property
    def healthy(self) -> bool:
        """Whether sessions can be kept: this replica hears of itself."""
        return self._members.holds()

    async def start(self) -> None:
        """Take sessions."""
        await self._watch.start()
        self._members.start()
        await self._members.heard_of_itself.wait()
        mine = self._endpoint.replica.format(replica=self.replica)
        self._subscriptions = [
            await self._connection.subscribe(mine, self._on_passed),
            await self._connection.subscribe(self._endpoint.subject.pattern, self._on_group, queue=self._group),
        ]
        self._stop_following = self._connection.on_reconnect(self._members.again)
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self, budget: timedelta) -> None:
        """Hand every session over to another replica, or finish what is under way where there is none."""
        if self._leaving:
            return
        self._leaving = True
        if self._subscriptions:
            await self._subscriptions[-1].drain()
        for run in self._table:
            self._leave(run)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(budget.total_seconds()):
                # Once they have heard it, nobody gives sessions to this one any more.
                await self._members.tell_all()
                while self._going:
                    await asyncio.wait(self._going)
        self._stopped = True
        for task in (*self._going, *self._table.living, *self._tasks):
            task.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        waiting = [task for task in (*self._going, *self._table.living, *self._tasks) if not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=1.0)
        if self._stop_following is not None:
            self._stop_following()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        await self._records.drop_ended(all_of_them=True)
        self._members.stop()
        await self._watch.stop()

    def _room(self) -> int:
        return 0 if self._leaving else self._limits.sessions - len(self._table)

    # What comes in.

    def _on_group(self, msg: Msg) -> None:
        run = self._table.on(msg.subject)
        if run is not None:
            # What comes to its own subject comes this way too, right behind.
            if not run.direct or run.closing:
                run.take_in(Arrival(msg, time.time(), passed=run.closing))
            return
        session_id = (self._endpoint.subject.match(msg.subject) or {}).get("session_id", "")
        if is_token(session_id):
            self._on_other(session_id, Arrival(msg, time.time()))

    def _on_passed(self, msg: Msg) -> None:
        done = self._passing.done_by(msg)
        if done is not None:
            self._on_done(*done)
            return
        passed = self._passing.read(msg)
        if passed is None:
            return
        session_id, arrival = passed
        if arrival.made and self._table.get(session_id) is None:
            self._early.keep(session_id, made=arrival)
        else:
            self._again(session_id, arrival)

    def _again(self, session_id: str, arrival: Arrival) -> None:
        """Take a message that was taken before, here or elsewhere."""
        run = self._table.on(arrival.msg.subject)
        if run is not None:
            run.take_in(arrival)
        else:
            self._on_other(session_id, arrival)

    def _on_done(self, session_id: str, done: Done) -> None:
        run = self._table.get(session_id)
        if run is not None:
            run.add_done(done)
        else:
            self._early.keep(session_id, done=done)

    def _on_other(self, session_id: str, arrival: Arrival) -> None:
        """Take a message of a session that is not here."""
        known = self._records.get(session_id)
        if known is not None and self._members.lives(known.record.owner):
            self._ring.keep(session_id, arrival)
            return
        try:
            if len(arrival.msg.data) > self._endpoint.subject.max_bytes:
                raise PayloadTooLargeError("The message is too large.")
            step = self._endpoint.step(read(self._endpoint, arrival.msg))
        except FleetError as error:
            self._refuse(session_id, arrival.msg, error)
            return
        if step is not Step.START and session_id in self._deaf:
            self._deaf.add(session_id)
            # Unless it is of a new life of that name, whose start went to another replica.
            self._ring.keep(session_id, arrival)
        elif step in {Step.START, Step.GO_ON}:
            self._open_or_pass(session_id, arrival, known, asked=step is Step.START)
        else:
            self._ring.keep(session_id, arrival)
            if known is None and step is Step.CHANGE:
                _ = self._begin(self._missing(session_id, arrival))

    async def _missing(self, session_id: str, arrival: Arrival) -> None:
        """Tell that a session is not there, unless it is just being opened somewhere."""
        await asyncio.sleep(_UNKNOWN_FOR)
        if self._records.get(session_id) is None and self._table.on(arrival.msg.subject) is None:
            self._refuse(session_id, arrival.msg, NotFoundError("There is no such session."))

    def _refuse(self, session_id: str, msg: Msg, error: FleetError) -> None:
        if isinstance(error, OverloadedError | InvalidRequestError):
            told = session_id in self._deaf
            self._deaf.add(session_id)
            if told:
                return
        metrics.REFUSALS.of(self._endpoint.subject.template, error.type.value).inc()
        _ = self._begin(self._answers.refuse(session_id, encoding_of(msg), error))

    # Sessions that begin here.

    def _open_or_pass(self, session_id: str, arrival: Arrival, known: Known | None, *, asked: bool) -> None:
        if self._room() > 0:
            self._deaf.discard(session_id)
            self._table.open(session_id, known, arrival)
            return
        other = self._members.roomiest()
        if other and not arrival.passed:
            self._passing.on(other, session_id, [arrival])
        else:
            if asked:  # who tries again is told again
                self._deaf.discard(session_id)
            self._refuse(session_id, arrival.msg, OverloadedError("There are too many sessions. Try again shortly."))

    # What the bucket tells.

    def _on_change(self, entry: KeyValueEntry) -> None:
        if entry.key.startswith(_MEMBER):
            self._members.heard(entry.key.removeprefix(_MEMBER), entry.value)
        else:
            self._records.heard(entry)

    def _on_record(self, session_id: str, known: Known, before: Known | None) -> None:
        record = known.record
        run = self._table.get(session_id)
        if record.owner == self.replica:
            if run is None and not self._stopped:
                metrics.LIVE_TAKEOVERS.of(self._endpoint.subject.template, "handed over").inc()
                self._table.open(session_id, known)
                opened = self._table.get(session_id)
                if self._leaving and opened is not None:
                    self._leave(opened)  # its giver did not know yet that this one goes, too
            return
        fence = run.fence if run is not None else None
        if run is not None and isinstance(fence, RecordFence) and fence.is_lost_to(record):
            log.warning("a session was taken over by another replica", extra={"session_id": session_id})
            metrics.OWNERSHIP_LOST.of(self._endpoint.bucket.stream, self._group).inc()
            fence.lost = True
            self._table.lose(run)
        if not record.owner:
            self._deaf.add(session_id)
            for arrival in self._ring.take(session_id, record.until):
                self._again(session_id, arrival)
        elif run is None and _is_taken(known, before):
            self._table.pass_on(session_id, known, before.record if before is not None else None)

    # Sessions that end here, or go on elsewhere.

    def _leave(self, run: SessionRun) -> None:
        task = asyncio.get_running_loop().create_task(self._table.leave(run))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _sweep(self) -> None:
        """Look after what no message reminds of."""
        while True:
            await asyncio.sleep(_SWEEP)
            self._deaf.sweep()
            self._ring.sweep()
            self._early.sweep()
            self._adopt()
            if self._dropping is None and self._records.ending:
                self._dropping = self._begin(self._records.drop_ended())
                self._dropping.add_done_callback(self._dropped)
            now, idle = time.monotonic(), self._limits.idle.total_seconds()
            for run in self._table:
                fence = run.fence
                if now - run.last_at > idle:
                    run.last_at = now
                    run.end(End.IDLE)
                elif isinstance(fence, RecordFence) and now - fence.saved_at > _REFRESH:
                    fence.saved_at = now
                    _ = self._begin(fence.refresh())

    def _adopt(self) -> None:
        """Take over sessions of replicas that died: each falls to one of those that live."""
        died = self._members.judge()
        if died:
            for run in self._table:
                run.told.set()  # who waits for one of them need not
        for replica in died:
            orphans = self._records.of(replica)
            log.info("a replica is gone", extra={"sessions": len(orphans)})
            for session_id, known in orphans:
                if self._members.heir(session_id) == self.replica and self._room() > 0:
                    self._table.open(session_id, known)

    def _dropped(self, _task: asyncio.Task[None]) -> None:
        self._dropping = None

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _is_taken(known: Known, before: Known | None) -> bool:
    """Whether a session has another owner than before, who listens to it."""
    record = known.record
    if record.giver:
        return False
    if before is None or before.record.giver:
        return True
    return (record.owner, record.generation) != (before.record.owner, before.record.generation)
