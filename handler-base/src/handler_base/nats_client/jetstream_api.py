"""The part of the JetStream API that the fleet uses, typed.

An error of the API is returned, not raised: most are an expected answer ("there is no such consumer") and what
they mean only the caller knows.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from handler_base.errors import InternalError
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.headers import decode_headers
from handler_base.nats_client.publishing import ApiError

__all__ = [
    "CONSUMER_NOT_FOUND",
    "MESSAGE_NOT_FOUND",
    "STREAM_NOT_FOUND",
    "ClusterInfo",
    "Config",
    "ConsumerInfo",
    "JetStreamApi",
    "SequenceInfo",
    "StoredMessage",
    "StreamInfo",
    "StreamState",
]

STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
MESSAGE_NOT_FOUND: Final = 10037

Config = dict[str, object]
"""The configuration of a stream or consumer, by the names of the API."""


class StreamState(msgspec.Struct, frozen=True):
    """What a stream holds."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    consumer_count: int = 0


class ClusterInfo(msgspec.Struct, frozen=True):
    """The replicas of a stream; without a name on a server that is alone."""

    name: str = ""
    leader: str = ""


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as the server has it."""

    config: Config
    state: StreamState = StreamState()
    created: str = ""
    cluster: ClusterInfo | None = None


class SequenceInfo(msgspec.Struct, frozen=True):
    """A position of a consumer."""

    consumer_seq: int = 0
    stream_seq: int = 0


class ConsumerInfo(msgspec.Struct, frozen=True):
    """A consumer as the server has it."""

    stream_name: str
    name: str
    config: Config
    delivered: SequenceInfo = SequenceInfo()
    ack_floor: SequenceInfo = SequenceInfo()
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0


class StoredMessage(msgspec.Struct, frozen=True):
    """A message as a stream holds it.

    Attributes:
        subject: What it was published on.
        seq: Its sequence.
        time: When it was stored.
        hdrs: The header block, base64; empty without headers.
        data: The payload, base64.
    """

    subject: str
    seq: int
    time: datetime
    hdrs: str = ""
    data: str = ""

    @property
    def payload(self) -> bytes:
        """The payload."""
        return base64.b64decode(self.data)

    @property
    def headers(self) -> dict[str, str]:
        """The headers by name."""
        return decode_headers(base64.b64decode(self.hdrs))[2] if self.hdrs else {}


class _Failure(msgspec.Struct):
    error: ApiError | None = None


class _Message(msgspec.Struct):
    message: StoredMessage


class _Names(msgspec.Struct):
    streams: list[str] | None = None


class _Success(msgspec.Struct):
    success: bool = False


class _SubjectState(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Subjects(msgspec.Struct):
    state: _SubjectState
    total: int = 0


class _Purged(msgspec.Struct):
    purged: int = 0


T = TypeVar("T")


class JetStreamApi:
    """Calls the API.

    Args:
        connection: To the server.
        timeout: For one call.

    Every method raises `UpstreamUnavailableError` when JetStream is away, `DeadlineExceededError` when it does not
    answer and `PermissionDeniedError` when the server forbids the call.
    """

    def __init__(self, connection: NatsConnection, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._connection = connection
        self._timeout = timeout

    async def stream_info(self, stream: str) -> StreamInfo | ApiError:
        """Return a stream."""
        return await self._call(f"STREAM.INFO.{stream}", None, StreamInfo)

    async def subjects(self, stream: str, pattern: str) -> dict[str, int] | ApiError:
        """Return the subjects in a stream that match a pattern, with the number of messages on each."""
        found: dict[str, int] = {}
        while True:
            body = {"subjects_filter": pattern, "offset": len(found)}
            page = await self._call(f"STREAM.INFO.{stream}", body, _Subjects)
            if isinstance(page, ApiError):
                return page
            found |= page.state.subjects or {}
            if not page.state.subjects or len(found) >= page.total:
                return found

    async def create_stream(self, config: Mapping[str, object]) -> StreamInfo | ApiError:
        """Make a stream."""
        return await self._call(f"STREAM.CREATE.{config['name']}", config, StreamInfo)

    async def update_stream(self, config: Mapping[str, object]) -> StreamInfo | ApiError:
        """Change a stream."""
        return await self._call(f"STREAM.UPDATE.{config['name']}", config, StreamInfo)

    async def stream_names(self, subject: str = "") -> list[str] | ApiError:
        """Return the names of the streams that capture a subject, or of all (the first thousand or so)."""
        names = await self._call("STREAM.NAMES", {"subject": subject} if subject else None, _Names)
        return names if isinstance(names, ApiError) else names.streams or []

    async def consumer_info(self, stream: str, consumer: str) -> ConsumerInfo | ApiError:
        """Return a consumer."""
        return await self._call(f"CONSUMER.INFO.{stream}.{consumer}", None, ConsumerInfo)

    async def put_consumer(self, stream: str, config: Mapping[str, object], action: str) -> ConsumerInfo | ApiError:
        """Make or change a durable consumer.

        Args:
            stream: Its stream.
            config: With ``durable_name``.
            action: ``create`` or ``update``.
        """
        subject = f"CONSUMER.CREATE.{stream}.{config['durable_name']}"
        if config.get("filter_subject"):
            subject += f".{config['filter_subject']}"
        return await self._call(subject, {"stream_name": stream, "config": config, "action": action}, ConsumerInfo)

    async def create_ephemeral(self, stream: str, config: Mapping[str, object]) -> ConsumerInfo | ApiError:
        """Make a consumer that the server names, and forgets when it is not used.

        Args:
            stream: Its stream.
            config: Without a name.
        """
        return await self._call(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config}, ConsumerInfo)

    async def delete_consumer(self, stream: str, consumer: str) -> bool | ApiError:
        """Take a consumer away."""
        answer = await self._call(f"CONSUMER.DELETE.{stream}.{consumer}", None, _Success)
        return answer if isinstance(answer, ApiError) else answer.success

    async def purge(self, stream: str, subject: str, *, before: int = 0) -> int | ApiError:
        """Take all messages on a subject or pattern out of a stream, and return how many there were.

        The server leaves their bytes in a stream's file until it writes that anew; `delete_message` can erase them.

        Args:
            stream: Where they are.
            subject: Subject or pattern.
            before: Only those with a lower sequence; 0: all.
        """
        body: dict[str, object] = {"filter": subject, "seq": before} if before else {"filter": subject}
        answer = await self._call(f"STREAM.PURGE.{stream}", body, _Purged)
        return answer if isinstance(answer, ApiError) else answer.purged

    async def get_message(self, stream: str, sequence: int) -> StoredMessage | ApiError:
        """Return the message with a sequence."""
        return await self._get_message(stream, {"seq": sequence})

    async def next_message(self, stream: str, sequence: int, subject: str) -> StoredMessage | ApiError:
        """Return the first message from a sequence on that matches a subject."""
        return await self._get_message(stream, {"seq": sequence, "next_by_subj": subject})

    async def last_message(self, stream: str, subject: str) -> StoredMessage | ApiError:
        """Return the last message on a subject."""
        return await self._get_message(stream, {"last_by_subj": subject})

    async def delete_message(self, stream: str, sequence: int, *, erase: bool = False) -> bool | ApiError:
        """Take a message out of a stream.

        Args:
            stream: Where it is.
            sequence: Which.
            erase: Whether its bytes are overwritten now, or left until the server writes the file anew.
        """
        body: dict[str, object] = {"seq": sequence} if erase else {"seq": sequence, "no_erase": True}
        answer = await self._call(f"STREAM.MSG.DELETE.{stream}", body, _Success)
        return answer if isinstance(answer, ApiError) else answer.success

    async def _get_message(self, stream: str, body: Mapping[str, object]) -> StoredMessage | ApiError:
        answer = await self._call(f"STREAM.MSG.GET.{stream}", body, _Message)
        return answer if isinstance(answer, ApiError) else answer.message

    async def _call(self, subject: str, body: Mapping[str, object] | None, answer: type[T]) -> T | ApiError:
        payload = b"" if body is None else msgspec.json.encode(body)
        msg = await self._connection.request(f"$JS.API.{subject}", payload, timeout=self._timeout)
        try:
            failure = msgspec.json.decode(msg.data, type=_Failure)
            return failure.error if failure.error is not None else msgspec.json.decode(msg.data, type=answer)
        except msgspec.MsgspecError as error:
            raise InternalError("JetStream answered with something unexpected.") from error
