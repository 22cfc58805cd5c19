"""The speeches that run or wait here: one at a time in a session, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

from handler_base.errors import OverloadedError, RequestCancelledError
from handler_base.handler.admission import Admission

__all__ = ["Speech", "Speeches"]

_REMEMBER_SECONDS: Final = 30.0
_REMEMBER_MOST: Final = 1024


@dataclass(eq=False, slots=True)
class Speech:
    """One request between its arrival and its last status.

    Attributes:
        session_id: Where it is heard.
        request_id: Tells it from others of the session.
        task: Makes it.
        cancelled: Whether a cancel message stopped it; from then on nothing of it may be sent.
    """

    session_id: str
    request_id: str
    task: asyncio.Task[object]
    cancelled: bool = False

    def cancel(self) -> None:
        """Stop it, once."""
        if not self.cancelled:
            self.cancelled = True
            self.task.cancel()


@dataclass(slots=True)
class _Session:
    speeches: list[Speech] = field(default_factory=list)
    # A fair lock: two speeches at once would mix their chunks on one subject.
    floor: asyncio.Lock = field(default_factory=asyncio.Lock)


class Speeches:
    """Keeps the speeches of all sessions apart, bounds them, and stops them.

    Args:
        slots: Speeches that may be made at once.
        queue_size: Speeches that may wait.
    """

    def __init__(self, slots: int, queue_size: int) -> None:
        self._slots = Admission(slots, queue_size)
        self._most = slots + queue_size
        self._count = 0
        self._sessions: dict[str, _Session] = {}
        self._early: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    @contextlib.contextmanager
    def entered(self, session_id: str, request_id: str) -> Iterator[Speech]:
        """Take a speech in; it can be cancelled until the context ends.

        Raises:
            OverloadedError: As many as may wait do wait.
            RequestCancelledError: A cancel message stopped it.
        """
        if self._count >= self._most:
            raise OverloadedError(retry_after=self._slots.retry_after())
        if self._early.pop((session_id, request_id), 0.0) > time.monotonic():
            raise RequestCancelledError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        speech = Speech(session_id, request_id, task)
        session = self._sessions.setdefault(session_id, _Session())
        session.speeches.append(speech)
        self._count += 1
        try:
            yield speech
        except asyncio.CancelledError:
            if not speech.cancelled:
                raise
            task.uncancel()
            raise RequestCancelledError from None
        finally:
            self._count -= 1
            session.speeches.remove(speech)
            if not session.speeches:
                del self._sessions[session_id]

    @contextlib.asynccontextmanager
    async def turn(self, speech: Speech) -> AsyncIterator[None]:
        """Wait until the speeches before it are over and a slot is free."""
        async with self._sessions[speech.session_id].floor:
            await self._slots.acquire(accepted=True)
            began = time.perf_counter()
            try:
                yield
            finally:
                self._slots.release(time.perf_counter() - began)

    def cancel(self, session_id: str, request_id: str = "") -> int:
        """Stop what a session has here, or only one request of it.

        Returns:
            How many were stopped.
        """
        session = self._sessions.get(session_id)
        found = [
            speech
            for speech in (session.speeches if session is not None else ())
            if not request_id or speech.request_id == request_id
        ]
        for speech in found:
            speech.cancel()
        if request_id and not found:
            # It may have overtaken the request.
            self._early[session_id, request_id] = time.monotonic() + _REMEMBER_SECONDS
            while len(self._early) > _REMEMBER_MOST:
                self._early.popitem(last=False)
        return len(found)
