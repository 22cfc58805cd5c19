"""A JetStream key-value bucket, changed by compare-and-set: the state of a service that outlives its replicas."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from handler_base.errors import InvalidRequestError, UpstreamUnavailableError
from handler_base.messages.streams import BucketSpec
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.headers import EXPECTED_LAST_SUBJECT_SEQUENCE
from handler_base.nats_client.jetstream_api import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, JetStreamApi
from handler_base.nats_client.publishing import ApiError
from handler_base.nats_client.stream_reader import StreamReader

__all__ = ["KeyValue", "KeyValueEntry"]

_KEY: Final = re.compile(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*")
_OPERATION: Final = "KV-Operation"
_AWAY: Final = "The state of the service cannot be reached right now."


@dataclass(frozen=True, slots=True)
class KeyValueEntry:
    """A value of a bucket.

    Attributes:
        key: Its key.
        value: The value.
        revision: Its place in the bucket; a change names the revision it is based on.
    """

    key: str
    value: bytes
    revision: int


class KeyValue:
    """Reads and changes one bucket.

    Every method raises `UpstreamUnavailableError` when JetStream is away and `DeadlineExceededError` when it does not
    answer.

    Args:
        connection: To the server.
        bucket: Which; declared by the handler that uses it, and made when its service starts.
    """

    def __init__(self, connection: NatsConnection, bucket: BucketSpec) -> None:
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._stream = bucket.stream
        self._prefix = f"$KV.{bucket.name}."

    async def get(self, key: str) -> KeyValueEntry | None:
        """Return the value of a key, or None where there is none. The leader answers: it is never an old one."""
        found = await self._api.last_message(self._stream, self._subject(key))
        if not isinstance(found, ApiError):
            return None if found.headers.get(_OPERATION) else KeyValueEntry(key, found.payload, found.seq)
        if found.err_code == MESSAGE_NOT_FOUND:
            return None
        raise UpstreamUnavailableError(_AWAY)

    async def put(self, key: str, value: bytes) -> int:
        """Set a key, whatever it was; return the revision."""
        return (await self._connection.jetstream_publish(self._subject(key), value)).sequence

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that has no value; return the revision.

        Raises:
            WrongSequenceError: It has one.
        """
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that has not changed since a revision; return the new one.

        Raises:
            WrongSequenceError: It has.
        """
        headers = {EXPECTED_LAST_SUBJECT_SEQUENCE: str(revision)}
        return (await self._connection.jetstream_publish(self._subject(key), value, headers=headers)).sequence

    async def drop(self, key: str, revision: int) -> None:
        """Take a key out of the bucket, leaving nothing behind, if it has not changed since a revision."""
        gone = await self._api.purge(self._stream, self._subject(key), before=revision + 1)
        if isinstance(gone, ApiError):
            raise UpstreamUnavailableError(_AWAY)

    async def keys(self, pattern: str = ">") -> frozenset[str]:
        """Return the keys that match a pattern."""
        found = await self._api.subjects(self._stream, self._prefix + pattern)
        if isinstance(found, ApiError):
            if found.err_code == STREAM_NOT_FOUND:
                return frozenset()
            raise UpstreamUnavailableError(_AWAY)
        return frozenset(subject.removeprefix(self._prefix) for subject in found)

    async def entries(self, pattern: str = ">") -> AsyncGenerator[KeyValueEntry, None]:
        """Yield the values whose keys match a pattern, oldest change first."""
        reader = StreamReader(self._connection, self._stream, subjects=(self._prefix + pattern,))
        async with aclosing(reader.read()) as messages:
            async for message in messages:
                if not (message.headers or {}).get(_OPERATION):
                    yield KeyValueEntry(message.subject.removeprefix(self._prefix), message.data, message.sequence)

    def _subject(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise InvalidRequestError("A key is malformed.")
        return self._prefix + key
