"""One session at the replica that has it: its messages in order, one at a time, and no more waiting than it may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from handler_base.errors import FleetError, InternalError, OverloadedError, PayloadTooLargeError
from handler_base.live.arrivals import Arrival, encoding_of, in_order, read
from handler_base.live.endpoint import End, LiveEndpoint, LiveWork, Step
from handler_base.live.passing import Done
from handler_base.live.ring import MARGIN
from handler_base.live.session import Answers, Fence, LiveSession, OwnershipLostError
from handler_base.messages import Encoding, Message
from handler_base.nats_client import EndpointStats, EventLog, Msg, Subscription
from handler_base.telemetry import extract, metrics

__all__ = ["SessionRun"]

log = logging.getLogger(__name__)

_PASSED: Final = 8
"""Times as much of what another replica passed on may wait."""

_MOST_MARKS: Final = 4096
_TWICE: Final = 2
"""Times as much may wait until it is known what came by two ways."""

_SETTLE: Final = 0.5
_REMEMBERED: Final = 3.0
"""Seconds for which the marks of messages are kept; replicas keep copies no longer."""

_PER_MESSAGE: Final = 256
"""Bytes that a message which waits takes besides its body."""


class SessionRun:
    """Runs one session.

    Args:
        endpoint: Whose session it is.
        session_id: Its id.
        open_work: Opens what works in it.
        answers: Says things to its client.
        stats: Counts what it does.
        inbox_bytes: Of messages that may wait.
        events: Where it tells of its steps.

    Attributes:
        fence: Keeps it from speaking once it is another's; None until it is this replica's for sure.
        resumed: What the owner before kept.
        encoding: That of the session's first message; None before it.
        last_at: When it last heard something, on the monotonic clock.
        over: Whether it ended.
        ended_by: Why it did.
        direct: Whether it has heard something on the session's own subject.
        listening: What it hears that by.
        leaving: Whether it goes to another replica.
        closing: Whether its own subject is not listened to any more.
        told: Set when something changed in what others have passed on.
        since: Unix seconds when it began, where it is known; what others have from before it is not its own.
        heard_until: Unix seconds of the newest message that was taken.
    """

    def __init__(
        self,
        endpoint: LiveEndpoint,
        session_id: str,
        open_work: Callable[[LiveSession], LiveWork],
        answers: Answers,
        stats: EndpointStats,
        *,
        inbox_bytes: int,
        events: EventLog | None = None,
    ) -> None:
        self.session_id = session_id
        self.fence: Fence | None = None
        self.resumed = b""
        self.over = False
        self.ended_by: End | None = None
        self.direct = False
        self.leaving = False
        self.closing = False
        self.since = 0.0
        self.told = asyncio.Event()
        self.listening: Subscription | None = None
        self.last_at = time.monotonic()
        self.heard_until = 0.0
        self._endpoint = endpoint
        self._open_work = open_work
        self._answers = answers
        self._stats = stats
        self._events = events
        self._most = inbox_bytes
        self._inbox: deque[Arrival | End] = deque()
        self._done: list[Done] = []
        self._settled = False
        self._marks: deque[tuple[float, int]] = deque(maxlen=_MOST_MARKS)
        self._held = 0
        self._refusing = False
        self._telling: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._work: LiveWork | None = None
        self._session: LiveSession | None = None
        self.encoding: Encoding | None = None

    @property
    def waiting(self) -> Sequence[Arrival]:
        """What has not been taken yet."""
        return [item for item in self._inbox if isinstance(item, Arrival)]

    def take_in(self, arrival: Arrival) -> None:
        """Take a message in, or tell the client why not."""
        error: FleetError | None
        if len(arrival.msg.data) > self._endpoint.subject.max_bytes:
            error = PayloadTooLargeError("The message is too large.")
        else:
            error = self.put(arrival)
        if error is not None:
            task = asyncio.get_running_loop().create_task(self.fail(error))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    def put(self, arrival: Arrival) -> FleetError | None:
        """Take a message in.

        Returns:
            Why it was refused, where that is to be told; it is told once until there is room again.
        """
        if arrival.passed and (arrival.at < self.since or self._is_known(arrival)):
            return None
        self.last_at = time.monotonic()
        self._note(arrival)
        size = len(arrival.msg.data) + _PER_MESSAGE
        if self._held > self._most and self._inbox and self._held > self._most * self._times(arrival):
            told, self._refusing = self._refusing, True
            return None if told else OverloadedError("Audio comes faster than it is heard; some of it was left out.")
        self._inbox.append(arrival)
        self._held += size
        self._changed.set()
        return None

    def _times(self, arrival: Arrival) -> int:
        """Return how many times as much may wait for a message to be taken in as well."""
        # What another replica passes on comes in one go, and is no more than that one might hold. The end of a session
        # that has more to do than it can is the last to be left out.
        if arrival.passed or self._is_end(arrival):
            return _PASSED
        return 1 if self._settled else _TWICE

    def _is_end(self, arrival: Arrival) -> bool:
        try:
            return self._endpoint.step(read(self._endpoint, arrival.msg)) is Step.END
        except FleetError:
            return False

    def end(self, why: End) -> None:
        """Have it end after what waits."""
        self._inbox.append(why)
        self._changed.set()

    @property
    def heard(self) -> tuple[int, ...]:
        """The marks of the newest messages."""
        return tuple(mark for _, mark in self._marks)

    def add_done(self, done: Done) -> None:
        """Another replica has passed on all it had."""
        self._done.append(done)
        self.told.set()

    async def settle(self, others: Callable[[], set[str]], revision: int, cut: float) -> None:
        """Wait until other replicas have passed on all they had of it, and put it into the order of the client.

        Args:
            others: Those that are to say so; the rest of them is not waited for when it takes too long.
            revision: Of the record by which they know who has the session.
            cut: Up to when the owner before heard it, in Unix seconds.
        """
        try:
            async with asyncio.timeout(_SETTLE):
                while not others() <= {done.replica for done in self._done if done.revision >= revision}:
                    self.told.clear()
                    await self.told.wait()
        except TimeoutError:
            log.info("a replica did not tell what it had of a session", extra={"session_id": self.session_id})
        told = [done.heard for done in self._done if done.revision >= revision and done.heard is not None]
        self._sort(told[0] if told else None, cut)
        self._settled = True

    def _sort(self, heard: Sequence[int] | None, cut: float) -> None:
        """Put what came by several ways into the order in which it was sent, without what the owner before heard."""
        ends = [item for item in self._inbox if isinstance(item, End)]
        arrivals = in_order(self._endpoint, list(_unheard(self.waiting, heard, cut)))
        self._inbox = deque([*arrivals, *ends])
        self._held = sum(len(arrival.msg.data) + _PER_MESSAGE for arrival in arrivals)
        now = time.monotonic()
        self._marks.extendleft((now, mark) for mark in heard or ())

    def _is_known(self, arrival: Arrival) -> bool:
        """Whether a message that somebody passes on late was heard here; what comes after the end is of a new life."""
        return self._settled and not self.over and arrival.mark in self.heard

    def _note(self, arrival: Arrival) -> None:
        """Keep the mark of a message for who has the session next."""
        now = time.monotonic()
        self._marks.append((now, arrival.mark))
        while self._marks[0][0] < now - _REMEMBERED:
            self._marks.popleft()

    async def run(self) -> None:
        """Work until the session is over, is another's, or is to leave."""
        try:
            while not self.over:
                item = await self._next()
                if item is None:
                    return
                await self._take(item)
        except OwnershipLostError:
            return
        finally:
            if self.over or not self.leaving:
                self.drop()

    def leave(self) -> None:
        """Have `run` return once all that waits was taken."""
        self.leaving = True
        self._changed.set()

    async def unfinished(self) -> Sequence[Message]:
        """After `leave`: give the messages by which a successor gets to where this one is."""
        work, self._work = self._work, None
        return await work.leave() if work is not None else ()

    def drop(self) -> None:
        """Let go of everything."""
        work, self._work = self._work, None
        if work is not None:
            work.drop()

    async def fail(self, error: FleetError) -> None:
        """Tell the client of an error."""
        encoding = self.encoding or Encoding.MSGPACK
        if self._work is None:
            await self._answers.refuse(self.session_id, encoding, error)
        else:
            await self._answers.send(self.session_id, self._work.failed(error), encoding, error)

    async def _next(self) -> Arrival | End | None:
        while not self._inbox:
            if self.leaving:
                return None
            self._changed.clear()
            await self._changed.wait()
        item = self._inbox.popleft()
        if isinstance(item, Arrival):
            self._held -= len(item.msg.data) + _PER_MESSAGE
            self._refusing = self._refusing and bool(self._inbox)
        return item

    async def _take(self, item: Arrival | End) -> None:
        started = time.perf_counter()
        error: FleetError | None = None
        try:
            if isinstance(item, End):
                await self._finish(item)
            else:
                await self._step(item)
        except FleetError as failure:
            error = failure
        except OwnershipLostError:
            raise
        except Exception:
            # A fault in the work must become an answer, whatever it is, and must not end the session.
            metrics.SWALLOWED_ERRORS.of("live").inc()
            log.exception("a step of a session failed", extra={"session_id": self.session_id})
            error = InternalError()
        if error is not None:
            await self.fail(error)
        if self._session is not None and self._session.over and not self.over:
            await self._finish(End.BROKEN)
        seconds = time.perf_counter() - started
        kind = error.type.value if error is not None else ""
        template = self._endpoint.subject.template
        metrics.CONSUMED_MESSAGES.of(template).inc()
        metrics.PROCESS_DURATION.of(template, kind).observe(seconds)
        self._stats.record(seconds, kind)

    async def _step(self, arrival: Arrival) -> None:
        msg = arrival.msg
        if self.encoding is None:
            self.encoding = encoding_of(msg)
        message = read(self._endpoint, msg)
        step = self._endpoint.step(message)
        if step is Step.END:
            await self._finish(End.ASKED)
            return
        if step is Step.START and self._work is not None:
            await self._finish(End.RESTART)
            self.over, self.resumed = False, b""
        self.heard_until = arrival.at
        work = self._opened(msg)
        if self._session is not None:
            self._session.heard_at = arrival.at
        await work.take(message)

    def _opened(self, msg: Msg) -> LiveWork:
        if self._work is None:
            if self.fence is None:
                raise OwnershipLostError
            self._session = LiveSession(
                self.session_id,
                self.encoding or Encoding.MSGPACK,
                self._answers,
                self.fence,
                resumed=self.resumed,
                parent=extract(msg.headers),
                events=self._events,
            )
            self._work = self._open_work(self._session)
        return self._work

    async def _finish(self, end: End) -> None:
        self.over, self.ended_by = True, end
        work = self._work
        if work is not None:
            try:
                await work.finish(end)
            finally:
                work.drop()
                self._work = None


def _unheard(arrivals: Iterable[Arrival], heard: Sequence[int] | None, cut: float) -> Iterable[Arrival]:
    """Give the messages that the owner before has not heard.

    Which those are its marks tell: when a message came is told differently by each replica. Without marks the time has
    to do.
    """
    if not cut:
        yield from arrivals
        return
    left = Counter(heard or ())
    for arrival in sorted(arrivals, key=lambda arrival: arrival.at):
        if arrival.made or arrival.at > cut + MARGIN:
            yield arrival
        elif left[arrival.mark] > 0:
            left[arrival.mark] -= 1
        elif heard is not None or arrival.at > cut:
            yield arrival
