"""Connections and streams of a test's own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection

__all__ = ["Connect", "WorkStream", "make_stream"]


class Connect(Protocol):
    """Opens a connection that the test does not have to close."""

    async def __call__(self, url: str, *, wait: bool = True, **options: object) -> NatsConnection:
        """Connect.

        Args:
            url: Of the server.
            wait: Whether to wait for the first link.
            **options: Fields of `ConnectionOptions`.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkStream:
    """A stream of a test's own.

    Attributes:
        name: Of the stream.
        subject: One that it captures.
    """

    name: str
    subject: str


async def make_stream(connection: NatsConnection, name: str = "") -> WorkStream:
    """Make a stream with a name nobody else uses, or with a given one.

    Raises:
        RuntimeError: The server refused.
    """
    name = name or f"S{uuid.uuid4().hex[:12]}"
    config = {"name": name, "subjects": [f"test.{name}.>"], "storage": "file"}
    made = await JetStreamApi(connection).create_stream(config)
    if isinstance(made, ApiError):
        raise RuntimeError(made.description)  # noqa: TRY004 - an answer of the server, not a wrong type
    return WorkStream(name, f"test.{name}.work")
