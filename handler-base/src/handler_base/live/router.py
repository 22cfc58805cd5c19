"""Brings each message of a session to the work that has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from handler_base.errors import FleetError, InvalidRequestError, NotFoundError, OverloadedError, PayloadTooLargeError
from handler_base.live.endpoint import End, LiveEndpoint, LiveLimits, LiveWork, Step
from handler_base.live.run import Arrival, SessionRun, encoding_of, read
from handler_base.live.session import Answers, LiveSession
from handler_base.messages.subjects import is_token
from handler_base.nats_client import EndpointStats, EventLog, Msg, NatsConnection, Subscription

__all__ = ["LiveRouter"]

_SWEEP: Final = 0.25
_DEAF_SECONDS: Final = 2.0
"""How long the rest of a session that ended or was refused is passed over, counted anew with each message."""


class _Alone:
    """The fence of a session that nobody else could have."""

    generation = 1

    def holds(self) -> bool:
        return True

    async def save(self, state: bytes, *, until: float) -> None:
        del state, until


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
        self._endpoint = endpoint
        self._open_work = open_work
        self._connection = connection
        self._group = group
        self._limits = limits
        self._stats = stats
        self._events = events
        self._answers = Answers(connection, endpoint)
        self._runs: dict[str, SessionRun] = {}
        self._deaf: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> int:
        """Sessions that are here."""
        return len(self._runs)

    async def start(self) -> None:
        """Take sessions."""
        self._subscription = await self._connection.subscribe(
            self._endpoint.subject.pattern, self._on_message, queue=self._group
        )
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self, budget: timedelta) -> None:
        """End what is here."""
        if self._subscription is not None:
            await self._subscription.drain()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for run in self._runs.values():
            run.end(End.ASKED)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=budget.total_seconds())
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _on_message(self, msg: Msg) -> None:
        run = self._runs.get(msg.subject)
        if run is None:
            self._on_unknown(msg)
            return
        self._put(run, msg)

    def _put(self, run: SessionRun, msg: Msg) -> None:
        if len(msg.data) > self._endpoint.subject.max_bytes:
            self._refuse(msg, PayloadTooLargeError("The message is too large."))
            return
        refused = run.put(Arrival(msg, time.time()))
        if refused is not None:
            self._begin(run.fail(refused))

    def _on_unknown(self, msg: Msg) -> None:
        session_id = self._session_id(msg)
        if not is_token(session_id):
            return
        try:
            if len(msg.data) > self._endpoint.subject.max_bytes:
                raise PayloadTooLargeError("The message is too large.")
            step = self._endpoint.step(read(self._endpoint, msg))
            if step is not Step.START and self._is_deaf(session_id):
                return
            if step is Step.END:
                return
            if step is Step.CHANGE:
                raise NotFoundError("There is no such session.")
            if len(self._runs) >= self._limits.sessions:
                raise OverloadedError
        except FleetError as error:
            self._refuse(msg, error)
            return
        run = self._open(session_id)
        self._put(run, msg)

    def _open(self, session_id: str) -> SessionRun:
        run = SessionRun(
            self._endpoint,
            session_id,
            self._open_work,
            self._answers,
            self._stats,
            inbox_bytes=self._limits.inbox_bytes,
            events=self._events,
        )
        run.fence = _Alone()
        self._runs[self._endpoint.subject.format(session_id=session_id)] = run
        self._begin(self._live(run))
        return run

    async def _live(self, run: SessionRun) -> None:
        try:
            await run.run()
        finally:
            self._runs.pop(self._endpoint.subject.format(session_id=run.session_id), None)
            self._deaf[run.session_id] = time.monotonic() + _DEAF_SECONDS

    def _refuse(self, msg: Msg, error: FleetError) -> None:
        session_id = self._session_id(msg)
        if isinstance(error, OverloadedError | InvalidRequestError) and self._is_deaf(session_id):
            return
        self._deaf[session_id] = time.monotonic() + _DEAF_SECONDS
        self._begin(self._answers.refuse(session_id, encoding_of(msg), error))

    def _session_id(self, msg: Msg) -> str:
        return (self._endpoint.subject.match(msg.subject) or {}).get("session_id", "")

    def _is_deaf(self, session_id: str) -> bool:
        until = self._deaf.get(session_id)
        if until is None or until < time.monotonic():
            return False
        self._deaf[session_id] = time.monotonic() + _DEAF_SECONDS
        return True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            self._deaf = {name: until for name, until in self._deaf.items() if until > now}
            for run in list(self._runs.values()):
                if now - run.last_at > self._limits.idle.total_seconds():
                    run.last_at = now
                    run.end(End.IDLE)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
