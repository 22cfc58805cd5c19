"""What a pull consumer survives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import nats
import pytest
import uvloop

from handler_base.nats_client import (
    ApiError,
    ConnectionOptions,
    ConsumerSpec,
    Delivery,
    JetStreamApi,
    NatsConnection,
    PullConsumer,
)
from handler_base.telemetry import metrics
from handler_base.testing.nats_connect import Connect, WorkStream, make_stream
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

HEARTBEAT = timedelta(milliseconds=200)


class Worker:
    """Acknowledges what it gets, after a while, and remembers it."""

    def __init__(
        self, connection: NatsConnection, stream: WorkStream, *, seconds: float = 0.0, **fields: object
    ) -> None:
        self.done: list[bytes] = []
        self.lost: list[bytes] = []
        self.started: list[bytes] = []
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()
        options = {name: fields.pop(name) for name in ("create", "ensure_stream") if name in fields}
        spec = ConsumerSpec(stream=stream.name, durable="worker", **fields)  # type: ignore[arg-type]  # checked at run time
        self.consumer = PullConsumer(
            connection,
            spec,
            self._take,
            slots=4,
            idle_heartbeat=HEARTBEAT,
            **options,  # type: ignore[arg-type]  # likewise
        )

    def _take(self, delivery: Delivery) -> None:
        task = asyncio.ensure_future(self._work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def lose() -> None:
            self.lost.append(delivery.data)
            task.cancel()

        delivery.on_lost = lose

    async def _work(self, delivery: Delivery) -> None:
        self.started.append(delivery.data)
        await asyncio.sleep(self._seconds)  # the work
        await delivery.ack()
        self.done.append(delivery.data)


@pytest.fixture
async def workers() -> AsyncIterator[list[Worker]]:
    started: list[Worker] = []
    yield started
    for worker in started:
        await worker.consumer.close()


async def requests_seen(url: str, durable: str, seconds: float) -> int:
    """Count the requests to JetStream about a consumer during some time."""
    peer = await nats.connect(url)
    seen = 0

    async def count(_: object) -> None:
        nonlocal seen
        seen += 1

    await peer.subscribe("$JS.API.CONSUMER.>", cb=count)
    await peer.flush()
    await asyncio.sleep(seconds)  # the time is what is tested: how often it asks
    await peer.close()
    return seen


async def test_killed_and_started_again_the_server_is_consumed_from_within_a_second(
    connect: Connect, own_server: NatsServer, workers: list[Worker]
) -> None:
    connection = await connect(own_server.url)
    stream = await make_stream(connection)
    worker = Worker(connection, stream)
    workers.append(worker)
    await worker.consumer.start()
    for round_number in range(3):
        own_server.kill()
        await wait_until(lambda: not worker.consumer.healthy)
        await own_server.start_async()
        returned = time.monotonic()
        name = str(round_number).encode()
        await connection.publish(stream.subject, name)
        await wait_until(lambda name=name: name in worker.done, timeout=3)
        assert time.monotonic() - returned < 1.0
        assert worker.consumer.healthy


async def test_work_in_flight_across_a_kill_is_done_once(
    connect: Connect, own_server: NatsServer, workers: list[Worker]
) -> None:
    connection = await connect(own_server.url)
    stream = await make_stream(connection)
    worker = Worker(connection, stream, seconds=0.8, ack_wait=timedelta(seconds=2))
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.started)
    own_server.kill()
    await wait_until(lambda: worker.done)
    await own_server.start_async()
    await wait_until(lambda: worker.consumer.healthy)
    await connection.publish(stream.subject, b"2")
    await wait_until(lambda: b"2" in worker.done)
    await asyncio.sleep(2.2)  # more than ack_wait: time in which it would come again
    assert worker.started == [b"1", b"2"]


async def test_work_whose_acknowledgement_was_lost_is_not_done_again(
    connect: Connect, own_server: NatsServer, workers: list[Worker]
) -> None:
    connection = await connect(
        own_server.url, ping_interval=timedelta(milliseconds=300), connect_timeout=timedelta(milliseconds=300)
    )
    stream = await make_stream(connection)
    worker = Worker(connection, stream, seconds=0.1, ack_wait=timedelta(seconds=1))
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.started)
    # The socket takes the acknowledgement, and nobody ever reads it.
    own_server.freeze()
    await wait_until(lambda: worker.done)
    own_server.kill()
    await own_server.start_async()
    redelivered = metrics.REDELIVERIES.of(stream.name, "worker")
    await wait_until(lambda: redelivered._value.get() >= 1, timeout=5)
    await connection.flush()
    info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
    assert not isinstance(info, ApiError)
    assert info.num_ack_pending == 0
    assert worker.started == [b"1"]


async def test_work_is_lost_when_the_server_cannot_be_told_that_it_goes_on(
    connect: Connect, own_server: NatsServer, workers: list[Worker]
) -> None:
    connection = await connect(own_server.url)
    stream = await make_stream(connection)
    worker = Worker(connection, stream, seconds=30, ack_wait=timedelta(milliseconds=600))
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.started)
    own_server.kill()
    await wait_until(lambda: worker.lost == [b"1"], timeout=3)
    assert worker.consumer.in_flight == 0
    await own_server.start_async()
    await wait_until(lambda: worker.started == [b"1", b"1"], timeout=5)


async def test_a_deleted_consumer_is_made_again_and_passes_nothing_over(
    connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    worker = Worker(connection, stream)
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"before")
    await wait_until(lambda: worker.done)
    peer = await nats.connect(nats_url)
    await peer.jetstream().delete_consumer(stream.name, "worker")
    await connection.publish(stream.subject, b"meanwhile")
    await wait_until(lambda: b"meanwhile" in worker.done)
    assert worker.consumer.healthy
    await connection.publish(stream.subject, b"after")
    await wait_until(lambda: b"after" in worker.done)
    await peer.close()
    assert worker.started == [b"before", b"meanwhile", b"after"]


async def test_a_deleted_consumer_of_all_messages_starts_over(
    connection: NatsConnection, stream: WorkStream, workers: list[Worker]
) -> None:
    worker = Worker(connection, stream, deliver="all")
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"before")
    await wait_until(lambda: worker.done)
    assert await JetStreamApi(connection).delete_consumer(stream.name, "worker") is True
    await connection.publish(stream.subject, b"meanwhile")
    await wait_until(lambda: worker.done == [b"before", b"before", b"meanwhile"])


async def test_a_consumer_that_stays_away_is_asked_for_seldom_and_told(
    connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    api = JetStreamApi(connection)
    await api.put_consumer(stream.name, ConsumerSpec(stream=stream.name, durable="worker").config(), "create")
    worker = Worker(connection, stream, create=False)
    workers.append(worker)
    await worker.consumer.start()
    peer = await nats.connect(nats_url)
    await peer.jetstream().delete_consumer(stream.name, "worker")
    await wait_until(lambda: not worker.consumer.healthy)
    assert "worker" in worker.consumer.trouble
    # Each look is one request; the first ones follow close upon each other.
    assert await requests_seen(nats_url, "worker", 3.0) <= 8
    assert "does not exist" in worker.consumer.trouble

    await api.put_consumer(stream.name, ConsumerSpec(stream=stream.name, durable="worker").config(), "create")
    await wait_until(lambda: worker.consumer.healthy, timeout=8)
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.done == [b"1"])
    await peer.close()


async def test_a_deleted_stream_is_made_again_by_whoever_owns_it(
    connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    async def ensure_stream() -> None:
        await make_stream(connection, stream.name)

    worker = Worker(connection, stream, ensure_stream=ensure_stream)
    workers.append(worker)
    await worker.consumer.start()
    for number in range(3):
        await connection.publish(stream.subject, str(number).encode())
    await wait_until(lambda: len(worker.done) == 3)
    peer = await nats.connect(nats_url)
    await peer.jetstream().delete_stream(stream.name)
    await wait_until(lambda: not worker.consumer.healthy)
    await wait_until(lambda: worker.consumer.healthy)
    await connection.jetstream_publish(stream.subject, b"again")
    await wait_until(lambda: b"again" in worker.done)
    await peer.close()


async def test_a_deleted_stream_that_nobody_owns_is_told(
    connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    worker = Worker(connection, stream)
    workers.append(worker)
    await worker.consumer.start()
    peer = await nats.connect(nats_url)
    await peer.jetstream().delete_stream(stream.name)
    await wait_until(lambda: f"Stream {stream.name} does not exist" in worker.consumer.trouble)
    assert not worker.consumer.healthy
    await make_stream(connection, stream.name)
    await connection.jetstream_publish(stream.subject, b"1")
    await wait_until(lambda: worker.done == [b"1"], timeout=8)
    await peer.close()


async def test_heartbeats_that_stay_out_lead_to_another_pull(
    connect: Connect, connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    worker = Worker(connection, stream)
    workers.append(worker)
    await worker.consumer.start()
    # As after the loss of a consumer's leader: the subscription lives, the pull is forgotten.
    assert worker.consumer._subscription is not None
    await worker.consumer._subscription.unsubscribe()
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.done == [b"1"], timeout=4)


async def test_refused_pulls_are_made_again_after_a_pause(
    connection: NatsConnection, nats_url: str, stream: WorkStream, workers: list[Worker]
) -> None:
    config = {**ConsumerSpec(stream=stream.name, durable="worker").config(), "max_batch": 1}
    api = JetStreamApi(connection)
    assert not isinstance(await api.put_consumer(stream.name, config, "create"), ApiError)
    worker = Worker(connection, stream)
    workers.append(worker)
    await worker.consumer.start()
    assert await requests_seen(nats_url, "worker", 2.0) <= 8
    assert not isinstance(await api.put_consumer(stream.name, {**config, "max_batch": 0}, "update"), ApiError)
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.done == [b"1"], timeout=8)


async def test_two_replicas_share_the_work_and_one_takes_over(
    connect: Connect, nats_url: str, connection: NatsConnection, stream: WorkStream, workers: list[Worker]
) -> None:
    dying_connection = await connect(nats_url)
    dying = Worker(dying_connection, stream, seconds=60, ack_wait=timedelta(milliseconds=500))
    await dying.consumer.start()
    for number in range(4):
        await connection.publish(stream.subject, str(number).encode())
    await wait_until(lambda: len(dying.started) == 4)
    survivor = Worker(connection, stream, ack_wait=timedelta(milliseconds=500))
    workers.append(survivor)
    await survivor.consumer.start()
    # What the end of its process is to the others: no word from it any more.
    await dying_connection._supervisor.stop()
    await wait_until(lambda: len(survivor.done) == 4, timeout=4)
    await wait_until(lambda: len(dying.lost) == 4)
    assert dying.done == []
    await dying.consumer.close()


async def test_work_that_comes_again_to_its_own_process_goes_on(
    connection: NatsConnection, stream: WorkStream, workers: list[Worker]
) -> None:
    worker = Worker(connection, stream, seconds=1.0, ack_wait=timedelta(milliseconds=300))
    workers.append(worker)
    await worker.consumer.start()
    await connection.publish(stream.subject, b"1")
    await wait_until(lambda: worker.started)
    time.sleep(0.7)  # noqa: ASYNC251 - a loop that is held up is what is tested
    await wait_until(lambda: worker.done)

    async def settled() -> bool:
        info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
        return not isinstance(info, ApiError) and info.delivered.consumer_seq > 1 and info.num_ack_pending == 0

    await wait_until(settled)
    assert (worker.started, worker.lost) == ([b"1"], [])


def test_uvloop_heals_as_well(own_server: NatsServer) -> None:
    async def scenario() -> list[bytes]:
        connection = NatsConnection(
            ConnectionOptions(servers=(own_server.url,), ping_interval=timedelta(milliseconds=200))
        )
        await connection.connect()
        stream = await make_stream(connection)
        worker = Worker(connection, stream, seconds=0.01)
        await worker.consumer.start()
        await connection.publish(stream.subject, b"1")
        await wait_until(lambda: worker.done)
        own_server.kill()
        await own_server.start_async()
        await connection.publish(stream.subject, b"2")
        await wait_until(lambda: len(worker.done) == 2)
        own_server.freeze()
        await wait_until(lambda: not connection.is_connected)
        own_server.thaw()
        await wait_until(lambda: worker.consumer.healthy)
        await connection.publish(stream.subject, b"3")
        await wait_until(lambda: len(worker.done) == 3)
        await worker.consumer.close()
        await connection.close()
        return worker.started

    assert uvloop.run(scenario()) == [b"1", b"2", b"3"]
