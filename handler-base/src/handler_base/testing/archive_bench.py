"""Archive workers on a real server, and an archive that can be made difficult."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from handler_base.config import ArchiveSettings
from handler_base.errors import InvalidRequestError, UpstreamUnavailableError
from handler_base.messages import DomainEvent, decode, encode
from handler_base.messages.streams import AI_DEAD_LETTER, AI_EVENTS
from handler_base.messages.subjects import CHAT_EVENT, PIPELINE_EVENT
from handler_base.nats_client import (
    ApiError,
    ConnectionOptions,
    DeadLetter,
    DeadLetters,
    JetStreamApi,
    Msg,
    NatsConnection,
    StreamManager,
    StreamReader,
)
from handler_base.nats_client.jetstream_api import ConsumerInfo
from handler_base.sessions.archive import Archive, PipelineRun
from handler_base.sessions.archive.worker import DURABLE, ArchiveWorker
from handler_base.sessions.conversation import ChatMessage
from handler_base.testing.waiting import wait_until

__all__ = ["STORED", "ArchiveBench", "DifficultArchive", "said"]

STORED: Final = CHAT_EVENT.format(name="message_stored")

_SECOND: Final = timedelta(seconds=1)


class DifficultArchive(Archive):
    """An archive that can be away, slow, or of another opinion about a message.

    Attributes:
        url: Its address.
        away: Whether storing fails.
        forgets_to_answer: Whether the next storing works and says that it failed.
        refused: Ids of messages, and request ids of runs, it does not take.
        gate: What storing waits for before it begins.
        answer: What it waits for before it says that it is done.
        attempts: How many times it was asked to store.
        batches: Ids of what it stored at a time.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, statement_timeout=_SECOND)
        self.url = url
        self.away = False
        self.forgets_to_answer = False
        self.refused: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer = asyncio.Event()
        self.answer.set()
        self.attempts = 0
        self.batches: list[list[str]] = []

    async def store(self, messages: Sequence[ChatMessage]) -> list[str]:
        """Store messages, or fail as told."""
        self.attempts += 1
        if self.away:
            raise UpstreamUnavailableError("The archive is away.")
        if self.refused.intersection(message.id for message in messages):
            raise InvalidRequestError("The archive refuses a message.")
        await self.gate.wait()
        new = await super().store(messages)
        self.batches.append([message.id for message in messages])
        await self.answer.wait()
        if self.forgets_to_answer:
            self.forgets_to_answer = False
            raise UpstreamUnavailableError("The archive is away.")
        return new

    async def store_run(self, run: PipelineRun) -> None:
        """Store a run, or fail as told."""
        self.attempts += 1
        if self.away:
            raise UpstreamUnavailableError("The archive is away.")
        if run.request_id in self.refused:
            raise InvalidRequestError("The archive refuses a run.")
        await super().store_run(run)


def said(number: int, **fields: Any) -> DomainEvent:  # noqa: ANN401 - fields of the event
    """Make the event of a question, at even numbers, or of its answer; in order they are a conversation."""
    name = "response_generated" if number % 2 else "message_received"
    values = {
        "id": f"ann/r{number // 2}/{name}",
        "name": name,
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "user_id": "ann",
        "session_id": "s1",
        "request_id": f"r{number // 2}",
        "data": {"text": f"text {number}"},
        **fields,
    }
    return DomainEvent(**values)


class ArchiveBench:
    """Workers that share an archive and, unless told otherwise, a connection.

    Args:
        nats_url: Of a server of the test's own.
        archive: Where to.

    Attributes:
        connection: To the server.
        archive: Where to.
        told: Every `message_stored` that was published, the repeated ones too.
    """

    def __init__(self, nats_url: str, archive: DifficultArchive) -> None:
        self.connection = NatsConnection(ConnectionOptions(servers=(nats_url,), name="test"))
        self.archive = archive
        self.told: list[Msg] = []
        self._workers: list[ArchiveWorker] = []
        self._last = 0

    async def __aenter__(self) -> Self:
        await self.connection.connect()
        await StreamManager(self.connection).ensure((AI_EVENTS, AI_DEAD_LETTER))
        await self.connection.subscribe(STORED, self.told.append)
        await self.connection.flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            await worker.stop(_SECOND)
        await self.connection.close(_SECOND)
        await self.archive.close()

    def worker(self, *, archive: Archive | None = None, **fields: Any) -> ArchiveWorker:  # noqa: ANN401 - settings
        """Make a worker; it is stopped with the bench."""
        options = {name: fields.pop(name) for name in ("titler", "expire_every") if name in fields}
        settings = ArchiveSettings(**{"archive_flush": 0.02, **fields})
        made = ArchiveWorker(self.connection, archive or self.archive, settings, **options)
        self._workers.append(made)
        return made

    async def start(self, **fields: Any) -> ArchiveWorker:  # noqa: ANN401 - settings
        """Start a worker, and wait until it archives."""
        worker = self.worker(**fields)
        await worker.start()
        await wait_until(lambda: worker.healthy)
        return worker

    async def tell(self, *numbers: int, **fields: Any) -> list[str]:  # noqa: ANN401 - fields of the events
        """Have the stream store events, and return the ids of their messages."""
        events = [said(number, **fields) for number in numbers]
        await asyncio.gather(*(self.publish(CHAT_EVENT.format(name=event.name), encode(event)) for event in events))
        return [event.id for event in events]

    async def tell_run(
        self,
        name: str,
        *,
        request_id: str = "run",
        occurred_at: str = "",
        **data: Any,  # noqa: ANN401 - of the event
    ) -> None:
        """Have the stream store an event of a run."""
        moment = occurred_at or datetime.now(UTC).isoformat()
        event = DomainEvent(name=name, request_id=request_id, occurred_at=moment, data=data)
        await self.publish(PIPELINE_EVENT.format(name=name), encode(event))

    async def publish(self, subject: str, payload: bytes) -> None:
        """Have the stream store any body."""
        self._last = max(self._last, (await self.connection.jetstream_publish(subject, payload)).sequence)

    async def archived(self) -> list[str]:
        """Return the ids of the conversation's messages."""
        return [message.id for message in await self.archive.messages("ann", "s1")]

    async def consumer(self) -> ConsumerInfo:
        """Return the consumer as the server has it."""
        found = await JetStreamApi(self.connection).consumer_info(AI_EVENTS.name, DURABLE)
        if isinstance(found, ApiError):
            raise RuntimeError(found.description)  # noqa: TRY004 - an answer of the server, not a wrong type
        return found

    async def delete_consumer(self) -> None:
        """Have the server forget what was delivered."""
        deleted = await JetStreamApi(self.connection).delete_consumer(AI_EVENTS.name, DURABLE)
        if isinstance(deleted, ApiError):
            raise RuntimeError(deleted.description)  # noqa: TRY004 - an answer of the server, not a wrong type

    async def all_finished(self) -> None:
        """Wait until every event that was told was acknowledged."""

        async def finished() -> bool:
            found = await self.consumer()
            # The server may take a moment until a consumer counts what was stored.
            return found.num_ack_pending == 0 and found.ack_floor.stream_seq >= self._last

        await wait_until(finished, timeout=10, every=0.01)

    async def stored_events(self) -> list[DomainEvent]:
        """Return the `message_stored` that the stream has."""
        reader = StreamReader(self.connection, AI_EVENTS.name, subjects=(STORED,))
        return [decode(DomainEvent, message.data) async for message in reader.read()]

    async def dead_letters(self) -> list[DeadLetter]:
        """Return what was given up."""
        return [letter async for letter in DeadLetters(self.connection).records()]
