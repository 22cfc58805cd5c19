"""Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, so that any NATS tool lists the fleet."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from handler_base.errors import FleetError, InvalidRequestError
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.subscription import Subscription
from handler_base.telemetry import metrics

__all__ = ["EndpointStats", "ServiceResponder", "Verb", "discover"]

log = logging.getLogger(__name__)

Verb = Literal["PING", "INFO", "STATS"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
_VERSION: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)


class EndpointStats:
    """Counts what an endpoint did.

    Attributes:
        name: Of the endpoint.
        subject: Subject or pattern it serves.
        queue_group: Its queue group, or empty.
        metadata: For people.
        num_requests: Requests handled, however they ended.
        num_errors: Requests that ended with an error.
        last_error: What the last error was.
        processing_time: Nanoseconds spent on all requests together.
        data: Returns more figures, made when asked for; None for none.
    """

    __slots__ = (
        "data",
        "last_error",
        "metadata",
        "name",
        "num_errors",
        "num_requests",
        "processing_time",
        "queue_group",
        "subject",
    )

    def __init__(self, name: str, subject: str, queue_group: str, metadata: Mapping[str, str]) -> None:
        self.name = name
        self.subject = subject
        self.queue_group = queue_group
        self.metadata = dict(metadata)
        self.data: Callable[[], Mapping[str, object]] | None = None
        self.num_requests = 0
        self.num_errors = 0
        self.last_error = ""
        self.processing_time = 0

    def record(self, seconds: float, error: str = "") -> None:
        """Count one request.

        Args:
            seconds: How long it took.
            error: What it ended with; empty for a result.
        """
        self.num_requests += 1
        self.processing_time += int(seconds * 1_000_000_000)
        if error:
            self.num_errors += 1
            self.last_error = error

    def info(self) -> dict[str, object]:
        """Return what INFO says of the endpoint."""
        answer: dict[str, object] = {"name": self.name, "subject": self.subject, "metadata": self.metadata}
        return {**answer, "queue_group": self.queue_group} if self.queue_group else answer

    def stats(self) -> dict[str, object]:
        """Return what STATS says of the endpoint."""
        answer: dict[str, object] = {
            "name": self.name,
            "subject": self.subject,
            "num_requests": self.num_requests,
            "num_errors": self.num_errors,
            "last_error": self.last_error,
            "processing_time": self.processing_time,
            "average_processing_time": self.processing_time // self.num_requests if self.num_requests else 0,
        }
        if self.queue_group:
            answer["queue_group"] = self.queue_group
        if self.data is not None:
            answer["data"] = dict(self.data())
        return answer


class ServiceResponder:
    """One instance of a service, as the NATS service API sees it.

    Args:
        connection: To the server.
        name: Of the service: letters, digits, ``-`` and ``_``.
        version: Semantic version.
        description: One line for people.
        metadata: More, for people and tools; or what returns it, asked at every answer.

    Attributes:
        instance_id: Tells the instances of a service apart.

    Raises:
        InvalidRequestError: The name or version is malformed.
    """

    def __init__(
        self,
        connection: NatsConnection,
        *,
        name: str,
        version: str,
        description: str = "",
        metadata: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(f"{name!r} is not a name for a service.")
        if not _VERSION.fullmatch(version):
            raise InvalidRequestError(f"{version!r} is not a semantic version.")
        self._connection = connection
        self._name = name
        self._version = version
        self._description = description
        self._metadata = metadata if callable(metadata) else (lambda: metadata or {})
        self._started = datetime.now(UTC)
        self._endpoints: list[EndpointStats] = []
        self._subscriptions: list[Subscription] = []
        self.instance_id = secrets.token_hex(11)

    def add_endpoint(
        self, name: str, subject: str, *, queue_group: str, metadata: Mapping[str, str] | None = None
    ) -> EndpointStats:
        """List an endpoint; the returned object is to be told of every request.

        Args:
            name: Letters, digits, ``-`` and ``_``.
            subject: Subject or pattern it serves.
            queue_group: Its queue group, or empty.
            metadata: For people, such as the schema of its messages.

        Raises:
            InvalidRequestError: The name is malformed.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(f"{name!r} is not a name for an endpoint.")
        stats = EndpointStats(name, subject, queue_group, metadata or {})
        self._endpoints.append(stats)
        return stats

    async def start(self) -> None:
        """Begin to answer; every instance does, whatever its queue groups."""
        answers: dict[Verb, Callable[[], dict[str, object]]] = {
            "PING": self._ping,
            "INFO": self._info,
            "STATS": self._stats,
        }
        for verb, answer in answers.items():
            for scope in ("", f".{self._name}", f".{self._name}.{self.instance_id}"):
                subscription = await self._connection.subscribe(f"$SRV.{verb}{scope}", self._responding(answer))
                self._subscriptions.append(subscription)

    async def stop(self) -> None:
        """Answer no more."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(subscription.drain() for subscription in subscriptions))

    def _responding(self, answer: Callable[[], dict[str, object]]) -> Callable[[Msg], None]:
        def respond(msg: Msg) -> None:
            if not msg.reply:
                return
            try:
                self._connection.send(msg.reply, msgspec.json.encode(answer()))
            except FleetError as error:
                metrics.SWALLOWED_ERRORS.of("service_discovery").inc()
                log.warning("discovery could not be answered", extra={"reason": error.message})

        return respond

    def _ping(self) -> dict[str, object]:
        return self._identity("ping")

    def _info(self) -> dict[str, object]:
        endpoints = [endpoint.info() for endpoint in self._endpoints]
        return {**self._identity("info"), "description": self._description, "endpoints": endpoints}

    def _stats(self) -> dict[str, object]:
        endpoints = [endpoint.stats() for endpoint in self._endpoints]
        started = self._started.isoformat().replace("+00:00", "Z")
        return {**self._identity("stats"), "started": started, "endpoints": endpoints}

    def _identity(self, kind: str) -> dict[str, object]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": self._name,
            "id": self.instance_id,
            "version": self._version,
            "metadata": dict(self._metadata()),
        }


async def discover(
    connection: NatsConnection, verb: Verb = "STATS", *, name: str = "", wait: timedelta = timedelta(milliseconds=300)
) -> list[dict[str, object]]:
    """Ask all services, and return what answered.

    Args:
        connection: To the server.
        verb: What to ask.
        name: Only services of a name.
        wait: How long after the last answer to wait for another.

    Raises:
        UpstreamUnavailableError: There is no link.
    """
    inbox = connection.new_inbox()
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await connection.subscribe(inbox, answers.put_nowait)
    found: list[dict[str, object]] = []
    try:
        await connection.publish(f"$SRV.{verb}{'.' if name else ''}{name}", reply=inbox)
        await connection.flush()
        while True:
            async with asyncio.timeout(wait.total_seconds()):
                msg = await answers.get()
            if msg.status == 503:
                return found
            try:
                found.append(msgspec.json.decode(msg.data, type=dict[str, object]))
            except msgspec.MsgspecError:
                log.warning("a service answered discovery with something unexpected")
    except TimeoutError:
        return found
    finally:
        await subscription.unsubscribe()
