from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import nats
import pytest

from handler_base.errors import InternalError, NotFoundError, UpstreamUnavailableError
from handler_base.messages.streams import AI_DEAD_LETTER
from handler_base.nats_client import (
    ConsumerSpec,
    DeadLetter,
    DeadLetters,
    Delivery,
    JetStreamApi,
    NatsConnection,
    PullConsumer,
    StreamManager,
    ensure_consumer,
)
from handler_base.telemetry import metrics
from handler_base.testing.nats_connect import Connect, WorkStream
from handler_base.testing.waiting import wait_until


@pytest.fixture
async def dead_letters(connection: NatsConnection) -> AsyncIterator[DeadLetters]:
    assert await StreamManager(connection).ensure([AI_DEAD_LETTER]) == ()
    letters = DeadLetters(connection)
    yield letters
    await letters.close()


@pytest.fixture
async def failing(connection: NatsConnection, stream: WorkStream) -> AsyncIterator[asyncio.Queue[Delivery]]:
    """Deliveries of a consumer called ``worker``."""
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    spec = ConsumerSpec(stream=stream.name, durable="worker", ack_wait=timedelta(milliseconds=500), max_deliver=2)
    consumer = PullConsumer(connection, spec, got.put_nowait, slots=4)
    await consumer.start()
    yield got
    await consumer.close()


async def buried(letters: DeadLetters, stream: WorkStream) -> list[DeadLetter]:
    return [record async for record in letters.records(stream=stream.name)]


async def is_settled(connection: NatsConnection, stream: WorkStream) -> bool:
    info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
    return getattr(info, "num_ack_pending", None) == 0


async def test_the_last_failure_is_buried_and_then_terminated(
    connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters, failing: asyncio.Queue[Delivery]
) -> None:
    headers = {"Content-Type": "application/msgpack", "Nats-Msg-Id": uuid.uuid4().hex, "traceparent": "00-1-2-01"}
    await connection.publish(stream.subject, b"\x80", headers=headers)
    first = await asyncio.wait_for(failing.get(), 5)
    await first.nak(timedelta(0))
    last = await asyncio.wait_for(failing.get(), 5)
    assert last.attempt == 2
    counter = metrics.DEAD_LETTERS.of(stream.name, "worker", "internal")
    await dead_letters.bury(last, reason="internal", description="Something went wrong.")

    assert last.settled
    await wait_until(lambda: is_settled(connection, stream))
    [record] = await buried(dead_letters, stream)
    assert (record.reason, record.description, record.payload) == ("internal", "Something went wrong.", b"\x80")
    assert record.headers == {"Content-Type": "application/msgpack", "traceparent": "00-1-2-01"}
    origin = record.origin
    assert (origin.subject, origin.stream, origin.consumer) == (stream.subject, stream.name, "worker")
    assert (origin.sequence, origin.attempts, origin.published_at) == (1, 2, last.published_at)
    assert not record.body_omitted
    assert counter._value.get() == 1
    assert (await dead_letters.show(record.sequence)) == record


async def test_replaying_publishes_the_original_and_removes_the_record(
    connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters, failing: asyncio.Queue[Delivery]
) -> None:
    await connection.publish(stream.subject, b"body", headers={"A": "b", "Nats-Msg-Id": uuid.uuid4().hex})
    await dead_letters.bury(await asyncio.wait_for(failing.get(), 5), reason="invalid_request")
    [record] = await buried(dead_letters, stream)

    await dead_letters.replay(record.sequence)

    again = await asyncio.wait_for(failing.get(), 5)
    assert (again.data, again.attempt, again.stream_sequence) == (b"body", 1, 2)
    assert again.headers is not None
    assert {name: value for name, value in again.headers.items() if not name.startswith("Nats-")} == {"A": "b"}
    await again.ack()
    assert await buried(dead_letters, stream) == []
    with pytest.raises(NotFoundError):
        await dead_letters.replay(record.sequence)
    with pytest.raises(NotFoundError):
        await dead_letters.show(record.sequence)


async def test_a_record_stays_when_its_subject_has_no_stream_any_more(
    connection: NatsConnection, nats_url: str, stream: WorkStream, dead_letters: DeadLetters
) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    consumer = PullConsumer(connection, ConsumerSpec(stream=stream.name, durable="worker"), got.put_nowait, slots=1)
    await consumer.start()
    await connection.publish(stream.subject, b"body")
    await dead_letters.bury(await asyncio.wait_for(got.get(), 5), reason="internal")
    await consumer.close()
    peer = await nats.connect(nats_url)
    await peer.jetstream().delete_stream(stream.name)
    await peer.close()
    [record] = await buried(dead_letters, stream)
    with pytest.raises(UpstreamUnavailableError):
        await dead_letters.replay(record.sequence)
    assert await buried(dead_letters, stream) == [record]


async def test_a_body_too_large_for_a_record_is_found_where_it_was(
    connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters, failing: asyncio.Queue[Delivery]
) -> None:
    body = b"x" * (connection.max_payload - 10)
    await connection.publish(stream.subject, body)
    await dead_letters.bury(await asyncio.wait_for(failing.get(), 5), reason="internal")
    [record] = await buried(dead_letters, stream)
    assert record.body_omitted
    assert record.payload == b""
    await dead_letters.replay(record.sequence)
    again = await asyncio.wait_for(failing.get(), 5)
    assert again.data == body
    await again.ack()


async def test_what_cannot_be_buried_is_not_terminated(
    connection: NatsConnection, stream: WorkStream, failing: asyncio.Queue[Delivery]
) -> None:
    nowhere = DeadLetters(connection, stream="NOWHERE")
    await connection.publish(stream.subject, b"1")
    delivery = await asyncio.wait_for(failing.get(), 5)
    swallowed = metrics.SWALLOWED_ERRORS.of("dead_letter")
    before = swallowed._value.get()
    async with without_dead_letter_stream(connection):
        await nowhere.bury(delivery, reason="internal")
    assert delivery.settled
    assert swallowed._value.get() == before + 1
    info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
    assert getattr(info, "num_ack_pending", 0) == 1


class without_dead_letter_stream:  # noqa: N801 - reads as a statement
    """The time of a `with` block without a stream that captures dead letters."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        peer = await nats.connect(self._connection.connected_url)
        await peer.jetstream().delete_stream(AI_DEAD_LETTER.name)
        await peer.close()

    async def __aexit__(self, *_: object) -> None:
        assert await StreamManager(self._connection).ensure([AI_DEAD_LETTER]) == ()


async def test_work_that_ends_every_process_is_swept_once(
    connect: Connect, nats_url: str, connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters
) -> None:
    spec = ConsumerSpec(stream=stream.name, durable="worker", ack_wait=timedelta(milliseconds=300), max_deliver=2)
    await ensure_consumer(JetStreamApi(connection), spec)
    await connection.publish(stream.subject, b"poison", headers={"A": "b"})
    # A process that takes the message and is never heard of again, twice.
    peer = await nats.connect(nats_url)
    pulling = await peer.jetstream().pull_subscribe_bind(consumer="worker", stream=stream.name)
    for _ in range(2):
        [message] = await pulling.fetch(1, timeout=3)
        assert message.data == b"poison"
    await peer.close()

    replicas = []
    for _ in range(3):
        replica_connection = await connect(nats_url)
        letters = DeadLetters(replica_connection)
        await letters.sweep(stream.name, "worker")
        await letters.sweep(stream.name, "worker")
        replica = PullConsumer(replica_connection, spec, print, slots=2)
        await replica.start()
        replicas.append((letters, replica))
    await wait_until(lambda: buried(dead_letters, stream))
    for letters, replica in replicas:
        await letters.close()
        await replica.close()

    [record] = await buried(dead_letters, stream)
    assert (record.reason, record.payload, record.headers) == ("max_deliveries", b"poison", {"A": "b"})
    assert (record.origin.attempts, record.origin.sequence) == (2, 1)


async def test_what_was_buried_before_its_process_ended_is_not_swept_again(
    connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters, failing: asyncio.Queue[Delivery]
) -> None:
    await connection.publish(stream.subject, b"1")
    delivery = await asyncio.wait_for(failing.get(), 5)
    await dead_letters.bury(delivery, reason="internal")
    advisory = (
        f'{{"type":"io.nats.jetstream.advisory.v1.max_deliver","id":"x","timestamp":"2026-01-01T00:00:00Z",'
        f'"stream":"{stream.name}","consumer":"worker","stream_seq":1,"deliveries":2}}'
    )
    await dead_letters.sweep(stream.name, "worker")
    await connection.publish(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream.name}.worker", advisory.encode())
    await connection.flush()
    await dead_letters.close()
    assert [record.reason for record in await buried(dead_letters, stream)] == ["internal"]


async def test_an_advisory_about_what_is_gone_changes_nothing(
    connection: NatsConnection, stream: WorkStream, dead_letters: DeadLetters
) -> None:
    await dead_letters.sweep(stream.name, "worker")
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream.name}.worker"
    await connection.publish(
        subject, f'{{"stream":"{stream.name}","consumer":"worker","stream_seq":9,"deliveries":2}}'.encode()
    )
    await connection.publish(subject, b"nonsense")
    await connection.flush()
    await dead_letters.close()
    assert await buried(dead_letters, stream) == []


async def test_a_foreign_message_in_the_stream_is_named(connection: NatsConnection, dead_letters: DeadLetters) -> None:
    ack = await connection.jetstream_publish("ai.dlq.X.Y", b"not ours")
    with pytest.raises(InternalError, match=f"Message {ack.sequence} "):
        await dead_letters.show(ack.sequence)
    await JetStreamApi(connection).delete_message(AI_DEAD_LETTER.name, ack.sequence)


async def test_without_the_stream_there_is_nothing_to_list(connection: NatsConnection) -> None:
    with pytest.raises(NotFoundError):
        _ = [record async for record in DeadLetters(connection, stream="NOWHERE").records()]
