"""Somebody who triggers pipelines, and sees how their runs go."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from handler_base.messages import DomainEvent, PipelineStatus, PipelineTrigger, decode, detect, encode
from handler_base.messages.streams import AI_EVENTS, AI_PIPELINE
from handler_base.messages.subjects import PIPELINE_CANCEL, PIPELINE_STATUS, PIPELINE_TRIGGER
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection, StreamReader

__all__ = ["PipelineCaller", "pipeline_caller"]


class PipelineCaller:
    """Triggers pipelines.

    Args:
        client: A connection.

    Attributes:
        heard: The statuses that came, by request, with the time on the loop's clock.
    """

    def __init__(self, client: NatsConnection) -> None:
        self.client = client
        self.heard: dict[str, list[tuple[float, PipelineStatus]]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        client.listen(PIPELINE_STATUS.pattern, self._hear)

    async def trigger(self, pipeline: str, request_id: str = "", **parameters: str) -> str:
        """Trigger a pipeline, durably; return the request's id. Parameters have ``_`` where their names have ``-``."""
        request_id = request_id or uuid.uuid4().hex
        given = {name.replace("_", "-"): value for name, value in parameters.items()}
        body = encode(PipelineTrigger(request_id=request_id, pipeline=pipeline, parameters=given))
        await self.client.jetstream_publish(PIPELINE_TRIGGER.template, body)
        return request_id

    async def cancel(self, request_id: str) -> None:
        """Cancel a run."""
        await self.client.publish(PIPELINE_CANCEL.format(request_id=request_id))
        await self.client.flush()

    async def until(self, request_id: str, *statuses: str, timeout: float = 10.0) -> PipelineStatus:
        """Wait for a status of a run; return it."""
        return await self._wait(
            lambda: next((told for _, told in self.heard[request_id] if told.status in statuses), None), timeout
        )

    async def ended(self, *request_ids: str, timeout: float = 15.0) -> None:
        """Wait until runs have ended."""
        for request_id in request_ids:
            await self.until(request_id, "succeeded", "failed", "error", timeout=timeout)

    def said(self, request_id: str) -> list[str]:
        """Return the statuses that came of a run, in order."""
        return [told.status for _, told in self.heard[request_id]]

    async def history(self, request_id: str) -> list[PipelineStatus]:
        """Return the statuses of a run that the stream has."""
        subject = PIPELINE_STATUS.format(request_id=request_id)
        async with aclosing(StreamReader(self.client, AI_PIPELINE.name, subjects=(subject,)).read()) as messages:
            return [decode(PipelineStatus, each.data, detect(each.data, None)) async for each in messages]

    async def events(self) -> list[DomainEvent]:
        """Return the events that the stream has."""
        async with aclosing(StreamReader(self.client, AI_EVENTS.name).read()) as messages:
            return [decode(DomainEvent, each.data, detect(each.data, None)) async for each in messages]

    async def _wait(self, look: Callable[[], PipelineStatus | None], timeout: float) -> PipelineStatus:
        async with asyncio.timeout(timeout), self._news:
            while (found := look()) is None:
                await self._news.wait()
            return found

    def _hear(self, msg: Msg) -> None:
        told = decode(PipelineStatus, msg.data, detect(msg.data, None))
        self.heard[told.request_id].append((asyncio.get_running_loop().time(), told))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def pipeline_caller(url: str) -> AsyncIterator[PipelineCaller]:
    """Connect a caller for the block."""
    client = NatsConnection(ConnectionOptions(servers=(url,), name="caller"))
    await client.connect()
    try:
        yield PipelineCaller(client)
    finally:
        await client.close()
