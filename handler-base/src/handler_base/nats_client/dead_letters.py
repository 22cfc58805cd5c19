"""Work that was given up: kept aside with the reason, to be looked at and tried again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from handler_base.errors import FleetError, InternalError, NotFoundError, PayloadTooLargeError, UpstreamUnavailableError
from handler_base.messages.streams import AI_DEAD_LETTER
from handler_base.messages.subjects import DEAD_LETTER
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.delivery import Delivery
from handler_base.nats_client.headers import HeaderValue
from handler_base.nats_client.jetstream_api import MESSAGE_NOT_FOUND, JetStreamApi, StoredMessage
from handler_base.nats_client.publishing import ApiError
from handler_base.nats_client.sweeper import Sweeper
from handler_base.telemetry import metrics

__all__ = ["DeadLetter", "DeadLetters", "Origin"]

log = logging.getLogger(__name__)

REASON: Final = "Dead-Letter-Reason"
DESCRIPTION: Final = "Dead-Letter-Description"
ATTEMPTS: Final = "Dead-Letter-Attempts"
SUBJECT: Final = "Dead-Letter-Subject"
STREAM: Final = "Dead-Letter-Stream"
CONSUMER: Final = "Dead-Letter-Consumer"
SEQUENCE: Final = "Dead-Letter-Sequence"
PUBLISHED: Final = "Dead-Letter-Published"
BODY_OMITTED: Final = "Dead-Letter-Body-Omitted"

_PREFIX: Final = "dead-letter-"
_NATS_PREFIX: Final = "nats-"
_RETRY_DELAY: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where work came from.

    Attributes:
        subject: What it was published on.
        stream: The stream that held it.
        consumer: The consumer that gave it up.
        sequence: In the stream.
        published_at: When the stream stored it.
        attempts: How many times it was delivered.
    """

    subject: str
    stream: str
    consumer: str
    sequence: int
    published_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of work that was given up.

    Attributes:
        sequence: In the dead-letter stream; names the record.
        buried_at: When it was given up.
        reason: Error type of the contract, or ``max_deliveries``.
        description: Text that is safe to show.
        origin: Where it came from.
        headers: Of the original message.
        payload: Of the original message; empty when `body_omitted`.
        body_omitted: Whether the payload, with the record's headers, was too large for one message. It is in the
            origin's stream as long as that keeps it.
    """

    sequence: int
    buried_at: datetime
    reason: str
    description: str
    origin: Origin
    headers: Mapping[str, str]
    payload: bytes
    body_omitted: bool


class DeadLetters:
    """Buries work, lists it, and replays it.

    Args:
        connection: To the server.
        stream: Name of the dead-letter stream.
    """

    def __init__(self, connection: NatsConnection, *, stream: str = AI_DEAD_LETTER.name) -> None:
        self._connection = connection
        self._stream = stream
        self._api = JetStreamApi(connection)
        self._sweeper = Sweeper(connection, self._bury_stored)

    async def bury(self, delivery: Delivery, *, reason: str, description: str = "") -> None:
        """Keep a delivery aside, and when that is stored, terminate it.

        When it cannot be stored the delivery goes back instead; an attempt over the limit brings it here again by
        the sweeper.

        Args:
            delivery: What is given up.
            reason: Error type of the contract.
            description: Text that is safe to show.
        """
        origin = Origin(
            delivery.subject,
            delivery.stream,
            delivery.consumer,
            delivery.stream_sequence,
            delivery.published_at,
            delivery.attempt,
        )
        try:
            await self._store(origin, delivery.data, delivery.headers, reason=reason, description=description)
        except FleetError as error:
            metrics.SWALLOWED_ERRORS.of("dead_letter").inc()
            log.exception("a dead letter could not be stored", extra={"reason": error.message})
            await delivery.nak(_RETRY_DELAY)
            return
        await delivery.term(reason)

    async def sweep(self, stream: str, consumer: str) -> None:
        """Bury also what a consumer gives up by itself, because every attempt ended without a word.

        Call it before the consumer pulls: the server tells of it when it is asked for the next message.

        Args:
            stream: Name of the stream.
            consumer: Name of the durable consumer.
        """
        await self._sweeper.watch(stream, consumer)

    async def close(self) -> None:
        """Sweep no more."""
        await self._sweeper.close()

    async def records(self, *, stream: str = "*", consumer: str = "*", start: int = 1) -> AsyncIterator[DeadLetter]:
        """Yield the records, oldest first.

        Args:
            stream: Only those from a stream.
            consumer: Only those a consumer gave up.
            start: Sequence of the first record to look at.

        Raises:
            NotFoundError: There is no dead-letter stream.
        """
        subject = f"ai.dlq.{stream}.{consumer}"
        while True:
            message = await self._api.next_message(self._stream, start, subject)
            if isinstance(message, ApiError):
                if message.err_code == MESSAGE_NOT_FOUND:
                    return
                raise _read_error(message)
            yield _record(message)
            start = message.seq + 1

    async def show(self, sequence: int) -> DeadLetter:
        """Return one record.

        Raises:
            NotFoundError: There is none of that sequence.
        """
        message = await self._api.get_message(self._stream, sequence)
        if isinstance(message, ApiError):
            raise _read_error(message)
        return _record(message)

    async def replay(self, sequence: int) -> DeadLetter:
        """Publish the original message again on its subject, then remove the record.

        A second replay of a record within the duplicate window of the stream changes nothing.

        Returns:
            The record.

        Raises:
            NotFoundError: There is no such record, or the body it omits is gone.
            UpstreamUnavailableError: No stream captures the subject any more.
        """
        record = await self.show(sequence)
        payload = await self._original_payload(record)
        message_id = f"replay.{self._stream}.{sequence}.{record.buried_at.timestamp():.6f}"
        subject = record.origin.subject
        try:
            await self._connection.jetstream_publish(subject, payload, headers=record.headers, message_id=message_id)
        except PayloadTooLargeError:
            # The original just fitted; better without protection against a second replay than not at all.
            await self._connection.jetstream_publish(subject, payload, headers=record.headers)
        removed = await self._api.delete_message(self._stream, sequence)
        if isinstance(removed, ApiError) and removed.err_code != MESSAGE_NOT_FOUND:
            raise _read_error(removed)
        return record

    async def _original_payload(self, record: DeadLetter) -> bytes:
        if not record.body_omitted:
            return record.payload
        message = await self._api.get_message(record.origin.stream, record.origin.sequence)
        if isinstance(message, ApiError):
            raise _read_error(message)
        return message.payload

    async def _bury_stored(self, stream: str, consumer: str, sequence: int, attempts: int) -> None:
        """Bury what a stream still holds, after its consumer gave it up."""
        message = await self._api.get_message(stream, sequence)
        if isinstance(message, ApiError):
            raise _read_error(message)
        origin = Origin(message.subject, stream, consumer, sequence, message.time, attempts)
        await self._store(
            origin,
            message.payload,
            message.headers,
            reason="max_deliveries",
            description="Every attempt ended without a word.",
        )

    async def _store(
        self, origin: Origin, payload: bytes, headers: Mapping[str, str] | None, *, reason: str, description: str
    ) -> None:
        fields = _record_headers(origin, headers, reason, description)
        subject = DEAD_LETTER.format(stream=origin.stream, consumer=origin.consumer)
        published = int(origin.published_at.timestamp())
        message_id = f"{origin.stream}.{origin.consumer}.{origin.sequence}.{published}"
        try:
            ack = await self._connection.jetstream_publish(subject, payload, headers=fields, message_id=message_id)
        except PayloadTooLargeError:
            fields[BODY_OMITTED] = "true"
            ack = await self._connection.jetstream_publish(subject, b"", headers=fields, message_id=message_id)
        if not ack.duplicate:
            metrics.DEAD_LETTERS.of(origin.stream, origin.consumer, reason).inc()
            log.error(
                "work was given up",
                extra={"stream": origin.stream, "consumer": origin.consumer, "reason": reason, "record": ack.sequence},
            )


def _record_headers(
    origin: Origin, headers: Mapping[str, str] | None, reason: str, description: str
) -> dict[str, HeaderValue]:
    # Headers that JetStream itself acts on would act on the record.
    kept = {
        name: value for name, value in (headers or {}).items() if not name.lower().startswith((_NATS_PREFIX, _PREFIX))
    }
    return {
        **kept,
        REASON: reason,
        DESCRIPTION: description,
        ATTEMPTS: origin.attempts,
        SUBJECT: origin.subject,
        STREAM: origin.stream,
        CONSUMER: origin.consumer,
        SEQUENCE: origin.sequence,
        PUBLISHED: origin.published_at.astimezone(UTC).isoformat(),
    }


def _record(message: StoredMessage) -> DeadLetter:
    fields = message.headers
    try:
        origin = Origin(
            fields[SUBJECT],
            fields[STREAM],
            fields[CONSUMER],
            int(fields[SEQUENCE]),
            datetime.fromisoformat(fields[PUBLISHED]),
            int(fields[ATTEMPTS]),
        )
    except (KeyError, ValueError) as error:
        raise InternalError(f"Message {message.seq} of the dead-letter stream is no dead letter.") from error
    return DeadLetter(
        message.seq,
        message.time,
        fields.get(REASON, ""),
        fields.get(DESCRIPTION, ""),
        origin,
        {name: value for name, value in fields.items() if not name.lower().startswith((_PREFIX, _NATS_PREFIX))},
        message.payload,
        BODY_OMITTED in fields,
    )


def _read_error(error: ApiError) -> FleetError:
    if error.code == 404:
        return NotFoundError("There is no such dead letter." if error.err_code == MESSAGE_NOT_FOUND else "")
    return UpstreamUnavailableError("JetStream is not available right now.")
