"""Conversations go to the archive beside the answers, or in a Deployment of its own."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from chat_handler.settings import ChatSettings
from handler_base.answering import Backends
from handler_base.errors import FleetError
from handler_base.handler import Handler, Worker
from handler_base.messages.subjects import CHAT_EVENT
from handler_base.nats_client import ConsumerSpec, NatsConnection

if TYPE_CHECKING:
    from handler_base.sessions.archive import Archive, ArchiveWorker

__all__ = ["ArchiveHandler", "Archiving", "archive_consumers"]

log = logging.getLogger(__name__)


class Archiving:
    """Runs the archive's worker; readiness does not wait for it, since what it archives waits in its stream.

    Args:
        connection: The service's.
        settings: Where to, and how much at a time.
        backends: The model that names conversations, and the sessions that carry the name.
    """

    def __init__(self, connection: NatsConnection, settings: ChatSettings, backends: Backends) -> None:
        self._connection = connection
        self._settings = settings
        self._backends = backends
        self._starting: asyncio.Task[None] | None = None
        self._archive: Archive | None = None
        self._worker: ArchiveWorker | None = None

    @property
    def healthy(self) -> bool:
        """Whether messages are archived as they come."""
        return self._worker is not None and self._worker.healthy

    async def start(self) -> None:
        """Begin; the database may be away."""
        self._starting = asyncio.create_task(self._try(), name="archiving")

    async def stop(self, budget: timedelta) -> None:
        """Finish the transaction that runs, and hand the rest back."""
        if self._starting is not None:
            await self._starting
        if self._worker is not None:
            await self._worker.stop(budget)
        if self._archive is not None:
            await self._archive.close()

    async def _try(self) -> None:
        try:
            await self._start()
        except (FleetError, ImportError) as error:
            # The settings are wrong, or a package is missing: answering goes on, and the service shows as degraded.
            log.error("nothing is archived", extra={"reason": str(error)})  # noqa: TRY400 - the reason says it all

    async def _start(self) -> None:
        # A tenth of a second, that no question has to wait for.
        await asyncio.to_thread(importlib.import_module, "handler_base.sessions.archive")
        from handler_base.sessions.archive import Archive, ArchiveWorker, Titler  # noqa: PLC0415 - loaded just now

        settings, backends = self._settings, self._backends
        self._archive = Archive(settings.archive_url.get_secret_value())
        titler = Titler(backends.llm, self._archive, save=backends.sessions.save_title) if settings.titles else None
        self._worker = ArchiveWorker(self._connection, self._archive, settings, titler=titler)
        await self._worker.start()


def archive_consumers(settings: ChatSettings) -> Sequence[ConsumerSpec]:
    """Return what the archive pulls from."""
    from handler_base.sessions.archive import archive_consumer  # noqa: PLC0415 - a service does not load it for this

    return (archive_consumer(settings),)


class ArchiveHandler(Handler[ChatSettings]):
    """Archives, and answers nothing: for an archive that is scaled and restarted apart from the chat."""

    name: ClassVar[str] = "chat-archive"
    description: ClassVar[str] = "Keeps conversations, and runs of pipelines, in a database."
    publishes: ClassVar[tuple[str, ...]] = (CHAT_EVENT.format(name="message_stored"),)

    @classmethod
    def worker_consumers(cls, settings: ChatSettings) -> Sequence[ConsumerSpec]:
        """Return what the archive pulls from."""
        return archive_consumers(settings)

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__(settings)
        self._backends = Backends(settings)
        self._archiving: Archiving | None = None

    async def open(self) -> None:
        """Open the clients of the model and the sessions."""
        await self._backends.open()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._backends.close()

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Return the archiving."""
        self._archiving = Archiving(connection, self.settings, self._backends)
        return (self._archiving,)

    def dependencies(self) -> Mapping[str, bool]:
        """Return whether messages are archived, and named."""
        working = self._backends.working()
        return {
            "archive": self._archiving is not None and self._archiving.healthy,
            "llm": working["llm"],
            "sessions": working["sessions"],
        }
