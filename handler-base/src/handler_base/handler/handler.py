"""The base class of every service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, Generic, Protocol, TypeVar

from handler_base.config import Settings
from handler_base.messages.streams import BucketSpec, StreamSpec
from handler_base.messages.subjects import Subject
from handler_base.nats_client import ConsumerSpec, NatsConnection

__all__ = ["Handler", "Worker"]

S = TypeVar("S", bound=Settings)


class Worker(Protocol):
    """Something a service does beside answering, such as archiving."""

    async def start(self) -> None:
        """Begin; what it needs may be away."""
        ...

    async def stop(self, budget: timedelta) -> None:
        """Finish what is begun, for `budget` at most, and hand the rest back."""
        ...


class Handler(Generic[S]):
    """Answers messages; a service is one subclass.

    Methods marked with `endpoint` answer subjects. Everything around them, from the connection to the last
    acknowledgement, is `Service`'s.

        class Echo(Handler[Settings]):
            name = "echo"
            description = "Says what it hears."

            @endpoint(core=(subjects.CHAT_REQUEST,))
            async def echo(self, request: ChatRequest, context: Context) -> ChatResponse:
                return ChatResponse(response=request.message)

    Attributes:
        name: Of the service: its queue group, its durable consumers, its name in `$SRV`.
        version: Semantic version.
        description: One line for people.
        streams: Streams it publishes to, besides those it pulls from.
        events: Subject of the domain events it tells by `Context.record`; None for a service that tells none.
        listens: Subjects its workers subscribe to as well, though its consumers pull them from their streams.
        publishes: Patterns of subjects its workers publish on, besides those that name it as their publisher.
        buckets: Key-value buckets it keeps its state in.

    What a service may do on NATS, and what an operator makes for it, follows from these declarations and from
    `worker_consumers` and `object_stores`.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "0.1.0"
    description: ClassVar[str] = ""
    streams: ClassVar[tuple[StreamSpec, ...]] = ()
    events: ClassVar[Subject | None] = None
    listens: ClassVar[tuple[Subject, ...]] = ()
    publishes: ClassVar[tuple[str, ...]] = ()
    buckets: ClassVar[tuple[BucketSpec, ...]] = ()

    @classmethod
    def worker_consumers(cls, settings: S) -> Sequence[ConsumerSpec]:
        """Return the durable consumers its workers pull from, besides those of the endpoints.

        Args:
            settings: Of the service.
        """
        del settings
        return ()

    @classmethod
    def object_stores(cls, settings: S) -> Sequence[str]:
        """Return the buckets of JetStream's object store that it reads.

        Args:
            settings: Of the service.
        """
        del settings
        return ()

    def __init__(self, settings: S) -> None:
        self.settings = settings

    async def open(self) -> None:
        """Open clients and warm up; readiness waits for it. A dependency that is away must not fail it."""

    async def close(self) -> None:
        """Close what `open` opened, after the last answer went out."""

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Return what runs beside the endpoints: started after `open`, stopped after the last answer.

        Args:
            connection: The service's own, connected.
        """
        del connection
        return ()

    def dependencies(self) -> Mapping[str, bool]:
        """Return which of the things it depends on work; one that does not shows as degraded."""
        return {}

    def metadata(self) -> Mapping[str, str]:
        """Return what `$SRV.INFO` tells of the service besides, such as what may be asked of it; asked every time."""
        return {}
