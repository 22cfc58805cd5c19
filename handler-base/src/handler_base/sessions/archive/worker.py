"""Writes what the domain events tell into the archive: what is said, each message once, and runs of pipelines.

An event is acknowledged when its message is committed and the stream has the `message_stored` that tells so. A
process that dies anywhere on the way leaves the event to be delivered again; the message's id keeps it from being
stored twice, and the id of `message_stored` keeps that from being told twice. What an event tells of a run is written
by itself, and again without effect: runs are few.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from handler_base.config import ArchiveSettings
from handler_base.errors import DeadlineExceededError, FleetError, InvalidRequestError, UpstreamUnavailableError
from handler_base.messages import DomainEvent, decode, detect
from handler_base.messages.streams import AI_DEAD_LETTER, AI_EVENTS
from handler_base.nats_client import ConsumerSpec, DeadLetters, Delivery, NatsConnection, PullConsumer, StreamManager
from handler_base.nats_client.headers import CONTENT_TYPE, header
from handler_base.sessions.archive._announcing import Announcer
from handler_base.sessions.archive._pauses import Pauses, StoppedError, sleep_unless
from handler_base.sessions.archive._retention import ExpiringStore, Retention
from handler_base.sessions.archive._run_writing import RunStore, RunWriter
from handler_base.sessions.archive.events import MESSAGE_SUBJECTS, RUN_SUBJECTS, archived_message, archived_run
from handler_base.sessions.archive.runs import PipelineRun
from handler_base.sessions.conversation import ChatMessage
from handler_base.telemetry import metrics

__all__ = ["DURABLE", "ArchiveStore", "ArchiveWorker", "TitleMaker", "archive_consumer"]

log = logging.getLogger(__name__)

DURABLE: Final = "fleet-archive"
"""Name of the durable consumer; all replicas share it."""

_ATTEMPTS: Final = 1000
"""A process that dies again and again has its messages delivered as often; that must not bury them."""

_AWAY: Final = (UpstreamUnavailableError, DeadlineExceededError)
_HAND_BACK: Final = timedelta(seconds=0.5)
_AFTER_A_FAULT: Final = timedelta(seconds=30)
_LAST_MOMENT: Final = 1.0


class ArchiveStore(ExpiringStore, RunStore, Protocol):
    """What the worker needs of the archive."""

    async def open(self, *, migrate: bool = True) -> None:
        """Make ready; may be called again."""
        ...

    async def store(self, messages: Sequence[ChatMessage]) -> list[str]:
        """Store messages in one transaction; return the ids of those that are new.

        Raises:
            InvalidRequestError: The database refuses one of them, and so all.
            UpstreamUnavailableError: The database is away; whether they were stored is not known.
        """
        ...

    async def known(self, ids: Collection[str]) -> set[str]:
        """Return which of some messages are stored."""
        ...


class TitleMaker(Protocol):
    """What names conversations beside the archiving."""

    def hint(self, conversations: Collection[tuple[str, str]]) -> None:
        """Take note of conversations, by user and session, that have a new answer."""
        ...

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until the worker stops."""
        ...


@dataclass(slots=True, eq=False)
class _Held:
    """A delivery and the message in it."""

    delivery: Delivery
    message: ChatMessage
    since: float


class ArchiveWorker:
    """Pulls the events that tell what was said, and archives them in batches.

    What it needs may be away, at the start and later: it holds what it has, takes no more, and tries again. Old events
    of a stream that was there first are archived too, save those that retention would remove at once.

    Args:
        connection: To NATS.
        archive: Where to; the worker opens it and leaves closing it to its owner.
        settings: How much at a time, and how long messages are kept.
        titler: Names the conversations; None leaves them without titles.
        expire_every: Between two runs of the retention.
    """

    def __init__(
        self,
        connection: NatsConnection,
        archive: ArchiveStore,
        settings: ArchiveSettings,
        *,
        titler: TitleMaker | None = None,
        expire_every: timedelta = timedelta(hours=1),
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._titler = titler
        self._create = settings.streams_mode == "create"
        self._streams = StreamManager(connection, settings.stream_replicas)
        self._dead_letters = DeadLetters(connection)
        self._announcer = Announcer(connection)
        self._retention = Retention(archive, timedelta(days=settings.message_retention_days), expire_every)
        self._consumer = PullConsumer(
            connection,
            archive_consumer(settings),
            self._take,
            slots=2 * settings.archive_batch,
            create=self._create,
            ensure_stream=self._ensure_streams,
        )
        self._waiting: dict[tuple[str, str], _Held] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._runs = RunWriter(archive, self._stopping, report=self._report, give_up=self._give_up)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._behind = 0
        self._lag = metrics.CONSUMER_LAG.of(AI_EVENTS.name, DURABLE)
        self._problem = "The archive is not open yet."

    @property
    def healthy(self) -> bool:
        """Whether messages are archived as they come."""
        return self._consumer.healthy and not self._problem

    @property
    def trouble(self) -> str:
        """Why they are not; empty while all is well. Safe to show."""
        return self._problem or self._consumer.trouble

    async def start(self) -> None:
        """Begin; the database and the stream may still be away."""
        self._running = asyncio.create_task(self._run(), name="archive")

    async def stop(self, budget: timedelta) -> None:
        """Take no more, finish the transaction that runs, for `budget` at most, and hand the rest back."""
        due = time.monotonic() + budget.total_seconds()
        self._stopping.set()
        self._changed.set()
        await self._consumer.stop(timeout=budget)
        tasks = self._tasks | ({self._running} if self._running is not None else set())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(due - time.monotonic(), 0))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_MOMENT)
        await self._consumer.close(hand_back=_HAND_BACK)
        await self._dead_letters.close()
        await self._announcer.close()
        self._waiting.clear()
        self._problem = "The archive was stopped."

    async def _run(self) -> None:
        try:
            await self._until_it_works(partial(self._archive.open, migrate=self._settings.archive_migrate))
            await self._until_it_works(self._consume)
            self._problem = ""
            self._spawn(self._retention.run(self._stopping))
            if self._titler is not None:
                self._spawn(self._titler.run(self._stopping))
            while True:
                await self._archive_next()
        except StoppedError:
            return

    async def _until_it_works(self, attempt: Callable[[], Awaitable[None]]) -> None:
        pauses = Pauses()
        while True:
            try:
                await attempt()
            except FleetError as error:
                self._report(error.message)
            except Exception:
                # Whatever a start fails with, what runs beside it must go on, and it may work later.
                self._report("The archive cannot be started.")
                log.exception("the archive cannot be started")
            else:
                return
            await sleep_unless(self._stopping, pauses.next())

    async def _consume(self) -> None:
        if self._create:
            await self._ensure_streams()
        await self._dead_letters.sweep(AI_EVENTS.name, DURABLE)
        await self._consumer.start()

    async def _ensure_streams(self) -> None:
        for difference in await self._streams.ensure((AI_EVENTS, AI_DEAD_LETTER)):
            log.error("a stream is not as the contract says", extra={"difference": difference})

    def _take(self, delivery: Delivery) -> None:
        try:
            message = _read(delivery)
        except FleetError as error:
            self._spawn(self._give_up(delivery, error))
            return
        if isinstance(message, PipelineRun):
            self._spawn(self._keep(delivery, message))
            return
        if message is None or self._retention.too_old(message.created_at):
            self._spawn(delivery.ack())
            return
        self._waiting[delivery.key] = _Held(delivery, message, time.monotonic())
        delivery.on_lost = partial(self._waiting.pop, delivery.key, None)
        if len(self._waiting) in {1, self._settings.archive_batch}:
            self._changed.set()

    async def _give_up(self, delivery: Delivery, error: FleetError) -> None:
        await self._dead_letters.bury(delivery, reason=error.type.value, description=error.message)

    async def _keep(self, delivery: Delivery, run: PipelineRun) -> None:
        await self._runs.write(delivery, run)
        # They are stored beside each other: the one that is done last need not be the last that came.
        self._lag.set(self._consumer.lag)

    async def _archive_next(self) -> None:
        """Wait for a batch and see it through."""
        batch = await self._next_batch()
        self._behind = batch[-1].delivery.behind if batch else 0
        try:
            await self._see_through(batch)
        except FleetError as error:
            await self._put_off(batch, error)
        except StoppedError:
            raise
        except Exception as error:
            # A fault in one batch must not end the archiving of all others.
            log.exception("a batch could not be archived")
            await self._put_off(batch, error)
        self._lag.set(self._behind + self._consumer.in_flight)

    async def _put_off(self, batch: Sequence[_Held], error: Exception) -> None:
        metrics.SWALLOWED_ERRORS.of("archive.batch").inc()
        log.warning("a batch is tried again later", extra={"messages": len(batch), "error_type": type(error).__name__})
        for held in batch:
            await held.delivery.nak(_AFTER_A_FAULT)

    async def _next_batch(self) -> list[_Held]:
        """Return what waits, when it is a whole batch or has waited long enough.

        Raises:
            StoppedError: The worker stops.
        """
        most = self._settings.archive_batch
        while not self._waiting:
            await self._change(None)
        while self._waiting and len(self._waiting) < most:
            oldest = next(iter(self._waiting.values())).since
            left = oldest + self._settings.archive_flush - time.monotonic()
            if left <= 0:
                break
            await self._change(left)
        batch = list(self._waiting.values())[:most]
        for held in batch:
            self._waiting.pop(held.delivery.key, None)
        return batch

    async def _change(self, seconds: float | None) -> None:
        self._changed.clear()
        if not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        if self._stopping.is_set():
            raise StoppedError

    async def _see_through(self, batch: list[_Held]) -> None:
        """Commit, tell, acknowledge; in this order, so that a death in between repeats what was not done."""
        await self._announce(await self._commit(batch))
        for held in batch:
            await held.delivery.ack()

    async def _commit(self, batch: list[_Held]) -> list[_Held]:
        """Store a batch, however often that takes; return those of it whose storing is to be told."""
        pauses = Pauses()
        repeated = False
        while batch := [held for held in batch if not held.delivery.settled]:
            try:
                told = await self._store(batch, repeated=repeated)
            except InvalidRequestError as error:
                return await self._isolate(batch, error)
            except FleetError as error:
                self._report(error.message)
            else:
                self._problem = ""
                return [held for held in batch if held.message.id in told]
            # It may have been committed all the same.
            repeated = True
            await sleep_unless(self._stopping, pauses.next())
        return []

    async def _store(self, batch: Sequence[_Held], *, repeated: bool) -> set[str]:
        """Store each message once, and return the ids of those whose storing is to be told."""
        messages: dict[str, ChatMessage] = {}
        for held in sorted(batch, key=_place):
            messages.setdefault(held.message.id, held.message)
        new = set(await self._archive.store([*messages.values()]))
        metrics.ARCHIVED_MESSAGES.inc(len(new))
        if self._titler is not None:
            answers = (message for message in messages.values() if message.role == "assistant" and message.id in new)
            self._titler.hint({(message.user_id, message.session_id) for message in answers})
        # An earlier attempt may have stored them and not come to telling it; what is there at the first attempt is a
        # copy, whose original is told of; and what is not there is a forgotten user's.
        earlier = {held.message.id for held in batch if repeated or held.delivery.attempt > 1} - new
        return new | await self._archive.known(earlier) if earlier else new

    async def _isolate(self, batch: list[_Held], error: InvalidRequestError) -> list[_Held]:
        """Give the message up that the database refuses, and store those beside it."""
        if len(batch) == 1:
            await self._give_up(batch[0].delivery, error)
            return []
        half = len(batch) // 2
        return [*await self._commit(batch[:half]), *await self._commit(batch[half:])]

    async def _announce(self, due: list[_Held]) -> None:
        """Tell of each message that it is stored, however often that takes."""
        pauses = Pauses()
        while due := [held for held in due if not held.delivery.settled]:
            told = await self._announcer.tell([held.message for held in due])
            refused = [result for result in told if result is not None and not isinstance(result, _AWAY)]
            for error in refused:
                # Such as a permission that is missing: no reason to archive nothing more.
                metrics.SWALLOWED_ERRORS.of("archive.announce").inc()
                log.error("a stored message cannot be told of", extra={"error_type": type(error).__name__})
            due = [held for held, result in zip(due, told, strict=True) if isinstance(result, _AWAY)]
            if due:
                self._report("The stream of domain events cannot store right now.")
                await sleep_unless(self._stopping, pauses.next())
        self._problem = ""

    def _report(self, problem: str) -> None:
        """Note why nothing can be archived; the empty text: it can."""
        if problem:
            metrics.SWALLOWED_ERRORS.of("archive.away").inc()
            if problem != self._problem:
                log.warning("the archive waits", extra={"problem": problem})
        self._problem = problem

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def archive_consumer(settings: ArchiveSettings) -> ConsumerSpec:
    """Return the durable consumer that the archive pulls from."""
    return ConsumerSpec(
        stream=AI_EVENTS.name,
        durable=DURABLE,
        filter_subjects=(*MESSAGE_SUBJECTS, *RUN_SUBJECTS),
        ack_wait=timedelta(seconds=settings.ack_wait),
        max_deliver=_ATTEMPTS,
        # Room for several replicas, each with a batch being written and one being gathered.
        max_ack_pending=max(1000, 8 * settings.archive_batch),
        deliver="all",
        description="Writes what is said, and runs of pipelines, into the archive.",
    )


def _read(delivery: Delivery) -> ChatMessage | PipelineRun | None:
    event = decode(DomainEvent, delivery.data, detect(delivery.data, header(delivery.headers, CONTENT_TYPE)))
    if delivery.subject in RUN_SUBJECTS:
        return archived_run(delivery.subject, event, stored_at=delivery.published_at)
    return archived_message(delivery.subject, event, position=delivery.stream_sequence, stored_at=delivery.published_at)


def _place(held: _Held) -> int:
    return held.message.position
