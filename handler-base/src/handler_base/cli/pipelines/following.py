"""A run as it goes: its statuses out of their stream, and its progress in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final, TypeVar

import msgspec

from handler_base.errors import FleetError
from handler_base.messages import DomainEvent, Message, PipelineStatus, decode, detect
from handler_base.messages.streams import AI_PIPELINE
from handler_base.messages.subjects import PIPELINE_EVENT, PIPELINE_STATUS
from handler_base.nats_client import Msg, NatsConnection, StreamMessage, StreamReader, headers

__all__ = ["FINAL", "Run", "parts_of", "read_status"]

M = TypeVar("M", bound=Message)

FINAL: Final = frozenset({"succeeded", "failed", "error"})
"""The statuses after which nothing comes."""


class Run:
    """One run, followed from its first status on; make it with `follow`, before its trigger is published.

    Statuses come out of the stream, so that none is missed when the link was away. Between them, events tell how far it
    is: to whoever listens just then, as that is all that progress is for.
    """

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[PipelineStatus | None] = asyncio.Queue()
        self._last = PipelineStatus()
        self._progress = ""

    @classmethod
    @asynccontextmanager
    async def follow(cls, connection: NatsConnection, request_id: str) -> AsyncIterator[Run]:
        """Follow a run while the block runs."""
        run = cls()

        def happened(msg: Msg) -> None:
            event = _decoded(DomainEvent, msg.data, msg.headers)
            if event is not None and event.request_id == request_id and event.data.get("progress"):
                run._note(event)

        subscription = await connection.subscribe(PIPELINE_EVENT.pattern, happened)
        await connection.flush()
        reading = asyncio.create_task(run._read(connection, request_id))
        try:
            yield run
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await subscription.unsubscribe()

    async def statuses(self) -> AsyncGenerator[PipelineStatus, None]:
        """Yield what is new of the run: each status, and between `running` and the end how far it is."""
        while self._last.status not in FINAL:
            news = await self._arrived.get()
            if isinstance(news, PipelineStatus):
                self._last = news
                yield news
            # An event may overtake the statuses before it, which come out of the stream.
            if self._last.status == "running" and _is_further(self._progress, self._last.progress):
                self._last = msgspec.structs.replace(self._last, progress=self._progress)
                yield self._last

    def _note(self, event: DomainEvent) -> None:
        self._progress = str(event.data["progress"])
        self._arrived.put_nowait(None)

    async def _read(self, connection: NatsConnection, request_id: str) -> None:
        reader = StreamReader(connection, AI_PIPELINE.name, subjects=(PIPELINE_STATUS.format(request_id=request_id),))
        async with aclosing(reader.follow(1)) as messages:
            async for message in messages:
                status = read_status(message)
                if status is not None:
                    self._arrived.put_nowait(status)


def read_status(message: StreamMessage) -> PipelineStatus | None:
    """Return a status of the stream; None where it is not one."""
    return _decoded(PipelineStatus, message.data, message.headers)


def _is_further(progress: str, before: str) -> bool:
    """Whether progress is news: a step that was started again counts anew until it is where it was."""
    (done, total), (done_before, total_before) = parts_of(progress), parts_of(before)
    if total is None:
        return progress not in {"", before}
    return total != total_before or done > done_before


def parts_of(progress: str) -> tuple[int, int | None]:
    """Return how many parts are done, of how many; None where the text does not say."""
    done, _, total = progress.partition("/")
    if done.isascii() and done.isdecimal() and total.isascii() and total.isdecimal() and int(total):
        return int(done), int(total)
    return 0, None


def _decoded(kind: type[M], data: bytes, fields: Mapping[str, str] | None) -> M | None:
    try:
        return decode(kind, data, detect(data, headers.header(fields, headers.CONTENT_TYPE)))
    except FleetError:
        return None
