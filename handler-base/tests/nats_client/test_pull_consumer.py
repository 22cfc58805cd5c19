"""Pulling by credit, and settling."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from handler_base.errors import InternalError, NotFoundError
from handler_base.nats_client import (
    ApiError,
    ConsumerSpec,
    Delivery,
    FailurePolicy,
    JetStreamApi,
    NatsConnection,
    PullConsumer,
    ensure_consumer,
)
from handler_base.testing.nats_connect import Connect, WorkStream
from handler_base.testing.waiting import wait_until

SECOND = timedelta(seconds=1)


class Pull(Protocol):
    async def __call__(
        self, on_delivery: Callable[[Delivery], object], *, slots: int = 4, durable: str = "worker", **fields: object
    ) -> PullConsumer: ...


@pytest.fixture
async def pull(connection: NatsConnection, stream: WorkStream) -> AsyncIterator[Pull]:
    """Starts a consumer of the test's stream."""
    started: list[PullConsumer] = []

    async def start(
        on_delivery: Callable[[Delivery], object], *, slots: int = 4, durable: str = "worker", **fields: object
    ) -> PullConsumer:
        options = {name: fields.pop(name) for name in ("credit", "expires", "idle_heartbeat") if name in fields}
        spec = ConsumerSpec(stream=stream.name, durable=durable, **fields)  # type: ignore[arg-type]  # checked at run time
        consumer = PullConsumer(connection, spec, on_delivery, slots=slots, **options)  # type: ignore[arg-type]  # likewise
        started.append(consumer)
        await consumer.start()
        return consumer

    yield start
    for consumer in started:
        await consumer.close()


async def publish(connection: NatsConnection, stream: WorkStream, count: int) -> None:
    for number in range(count):
        await connection.publish(stream.subject, str(number).encode())
    await connection.flush()


async def test_a_delivery_tells_where_it_came_from(connection: NatsConnection, stream: WorkStream, pull: Pull) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    await pull(got.put_nowait)
    before = datetime.now(UTC)
    await connection.publish(stream.subject, b"body", headers={"A": "b"})
    delivery = await asyncio.wait_for(got.get(), 5)

    assert (delivery.subject, delivery.data, delivery.headers) == (stream.subject, b"body", {"A": "b"})
    assert (delivery.stream, delivery.consumer, delivery.attempt) == (stream.name, "worker", 1)
    assert (delivery.stream_sequence, delivery.behind) == (1, 0)
    assert before - SECOND < delivery.published_at < datetime.now(UTC) + SECOND
    await delivery.ack()
    await delivery.ack()
    assert delivery.settled


async def test_a_new_consumer_starts_with_new_messages(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    await publish(connection, stream, 3)
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    await pull(got.put_nowait)
    await connection.publish(stream.subject, b"new")
    assert (await asyncio.wait_for(got.get(), 5)).data == b"new"


async def test_a_new_consumer_of_all_messages_starts_with_the_oldest_and_goes_on_from_there(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    await publish(connection, stream, 3)
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    consumer = await pull(got.put_nowait, deliver="all")
    for number in range(3):
        delivery = await asyncio.wait_for(got.get(), 5)
        assert delivery.data == str(number).encode()
        await delivery.ack()
    await consumer.close()
    await connection.flush()

    await connection.publish(stream.subject, b"new")
    await pull(got.put_nowait, deliver="all")
    assert (await asyncio.wait_for(got.get(), 5)).data == b"new"


@pytest.mark.parametrize("slots", [1, 2, 7, 300])
async def test_no_more_is_held_than_there_are_slots(
    connection: NatsConnection, stream: WorkStream, pull: Pull, slots: int
) -> None:
    held: list[Delivery] = []
    most = 0
    done = 0

    def take(delivery: Delivery) -> None:
        nonlocal most
        held.append(delivery)
        most = max(most, len(held))

    consumer = await pull(take, slots=slots)
    count = 600 if slots > 2 else 60
    await publish(connection, stream, count)
    while done < count:
        await wait_until(lambda: held)
        await held.pop(0).ack()
        done += 1
        assert consumer.in_flight + consumer.pending <= slots
    assert most <= slots
    await wait_until(lambda: consumer.in_flight == 0 and consumer.pending > slots // 4)


async def test_a_free_slot_is_used_while_others_are_busy(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    await pull(got.put_nowait, slots=2)
    await publish(connection, stream, 10)
    slow = await asyncio.wait_for(got.get(), 5)
    for _ in range(9):
        await (await asyncio.wait_for(got.get(), 1)).ack()
    await slow.ack()


async def test_credit_bounds_what_is_asked_for(connection: NatsConnection, stream: WorkStream, pull: Pull) -> None:
    got: list[Delivery] = []
    allowed = 2
    consumer = await pull(got.append, slots=10, credit=lambda: allowed - len(got))
    assert consumer.pending == 2
    await publish(connection, stream, 10)
    await wait_until(lambda: len(got) == 2)
    for delivery in got:
        await delivery.ack()
    await connection.flush()
    assert (len(got), consumer.pending) == (2, 0)
    allowed = 5
    consumer.refresh()
    await wait_until(lambda: len(got) == 5)


async def test_credit_that_grows_unnoticed_is_seen_in_time(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    credit = 0
    await pull(got.put_nowait, slots=2, credit=lambda: credit, idle_heartbeat=timedelta(milliseconds=200))
    await publish(connection, stream, 1)
    credit = 1
    await asyncio.wait_for(got.get(), 2)


async def test_work_handed_back_comes_again_after_its_delay(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    policy = FailurePolicy(schedule=(timedelta(milliseconds=100), timedelta(milliseconds=300)), max_deliver=4, jitter=0)
    came: list[tuple[int, float]] = []
    done = asyncio.Event()

    async def fail(delivery: Delivery) -> None:
        came.append((delivery.attempt, time.monotonic()))
        if policy.is_last(delivery.attempt):
            await delivery.ack()
            done.set()
        else:
            await delivery.nak(policy.delay(delivery.attempt))

    await pull(lambda delivery: asyncio.ensure_future(fail(delivery)), max_deliver=policy.max_deliver)
    await publish(connection, stream, 1)
    await asyncio.wait_for(done.wait(), 5)

    assert [attempt for attempt, _ in came] == [1, 2, 3, 4]
    pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(came)]
    assert [pytest.approx(pause, abs=0.09) for pause in (0.1, 0.3, 0.3)] == pauses


async def test_a_handler_four_times_longer_than_ack_wait_runs_once(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    runs = 0
    finished = asyncio.Event()

    async def work(delivery: Delivery) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(4 * 0.4)  # the work: four times ack_wait
        await delivery.ack()
        finished.set()

    consumer = await pull(
        lambda delivery: asyncio.ensure_future(work(delivery)), ack_wait=timedelta(milliseconds=400), slots=2
    )
    assert consumer.ack_wait == timedelta(milliseconds=400)
    await publish(connection, stream, 1)
    await asyncio.wait_for(finished.wait(), 5)
    await connection.flush()
    info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
    assert not isinstance(info, ApiError)
    assert (runs, info.num_ack_pending, info.delivered.consumer_seq) == (1, 0, 1)


async def test_terminated_work_does_not_come_again(connection: NatsConnection, stream: WorkStream, pull: Pull) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    await pull(got.put_nowait, ack_wait=timedelta(milliseconds=200))
    await publish(connection, stream, 2)
    await (await asyncio.wait_for(got.get(), 5)).term("no good")
    await (await asyncio.wait_for(got.get(), 5)).term()
    await connection.flush()
    info = await JetStreamApi(connection).consumer_info(stream.name, "worker")
    assert not isinstance(info, ApiError)
    assert (info.num_ack_pending, info.ack_floor.stream_seq) == (0, 2)


async def test_stopping_takes_what_is_under_way_and_keeps_it_alive(
    connect: Connect, connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    got: list[Delivery] = []
    consumer = await pull(got.append, slots=50, ack_wait=timedelta(milliseconds=300))
    await publish(connection, stream, 20)
    await wait_until(lambda: got)
    await consumer.stop()
    held = len(got)
    assert consumer.in_flight == held
    assert not consumer.healthy
    await publish(connection, stream, 5)
    assert not await consumer.wait_idle(timedelta(milliseconds=700))
    assert len(got) == held
    for delivery in got:
        assert not delivery.settled
        await delivery.ack()
    assert await consumer.wait_idle(SECOND)


async def test_closing_hands_the_rest_back_after_a_delay(
    connect: Connect, nats_url: str, connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    held: list[Delivery] = []
    consumer = await pull(held.append, slots=10)
    other: asyncio.Queue[Delivery] = asyncio.Queue()
    await publish(connection, stream, 3)
    await wait_until(lambda: len(held) == 3)
    await held[0].ack()
    await consumer.stop()

    second = PullConsumer(await connect(nats_url), consumer.spec, other.put_nowait, slots=10)
    await second.start()
    handed_back = time.monotonic()
    await consumer.close(hand_back=timedelta(milliseconds=200))
    again = [await asyncio.wait_for(other.get(), 5) for _ in range(2)]
    assert time.monotonic() - handed_back > 0.15
    assert [(delivery.data, delivery.attempt) for delivery in again] == [(b"1", 2), (b"2", 2)]
    for delivery in again:
        await delivery.ack()
    await second.close()


async def test_a_callback_that_fails_keeps_its_delivery_until_lost(
    connection: NatsConnection, stream: WorkStream, pull: Pull
) -> None:
    def fail(delivery: Delivery) -> None:
        raise RuntimeError(delivery.subject)

    consumer = await pull(fail)
    await publish(connection, stream, 1)
    await wait_until(lambda: consumer.in_flight == 1)
    assert consumer.healthy


async def test_many_short_pulls_lose_nothing(connection: NatsConnection, stream: WorkStream, pull: Pull) -> None:
    seen: list[bytes] = []

    async def work(delivery: Delivery) -> None:
        seen.append(delivery.data)
        await asyncio.sleep(0)
        await delivery.ack()

    await pull(
        lambda delivery: asyncio.ensure_future(work(delivery)),
        slots=3,
        expires=timedelta(milliseconds=250),
        idle_heartbeat=timedelta(milliseconds=110),
    )
    for number in range(40):
        await connection.publish(stream.subject, str(number).encode())
        await asyncio.sleep(0.02)  # spread over several pulls that run out
    await wait_until(lambda: len(seen) >= 40)
    assert sorted(seen, key=int) == [str(number).encode() for number in range(40)]


async def test_only_the_filtered_subjects_come(connection: NatsConnection, stream: WorkStream, pull: Pull) -> None:
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    base = f"test.{stream.name}"
    await pull(got.put_nowait, filter_subjects=(f"{base}.a", f"{base}.b"), durable="two")
    await pull(got.put_nowait, filter_subjects=(f"{base}.c",), durable="one")
    for name in "abcd":
        await connection.publish(f"{base}.{name}")
    got_three = [(await asyncio.wait_for(got.get(), 5)).subject[-1] for _ in range(3)]
    assert sorted(got_three) == ["a", "b", "c"]


async def test_a_consumer_is_changed_to_what_it_should_be(connection: NatsConnection, stream: WorkStream) -> None:
    api = JetStreamApi(connection)
    first = ConsumerSpec(stream=stream.name, durable="d", filter_subjects=(f"test.{stream.name}.a",))
    await ensure_consumer(api, first)
    second = ConsumerSpec(
        stream=stream.name,
        durable="d",
        filter_subjects=(f"test.{stream.name}.a", f"test.{stream.name}.b"),
        ack_wait=timedelta(seconds=7),
        description="changed",
        metadata={"team": "x"},
    )
    changed = await ensure_consumer(api, second)
    assert changed.config["ack_wait"] == 7_000_000_000
    assert changed.config["description"] == "changed"
    assert changed.config["filter_subjects"] == [f"test.{stream.name}.a", f"test.{stream.name}.b"]
    assert (await ensure_consumer(api, second)).config == changed.config


async def test_a_consumer_that_is_only_checked_names_its_differences(
    connection: NatsConnection, stream: WorkStream
) -> None:
    api = JetStreamApi(connection)
    spec = ConsumerSpec(stream=stream.name, durable="d")
    with pytest.raises(NotFoundError, match="Consumer d"):
        await ensure_consumer(api, spec, create=False)
    await ensure_consumer(api, spec)
    await ensure_consumer(api, spec, create=False)
    other = ConsumerSpec(stream=stream.name, durable="d", max_deliver=9)
    with pytest.raises(InternalError, match="max_deliver is 5, should be 9"):
        await ensure_consumer(api, other, create=False)


async def test_a_consumer_that_cannot_be_changed_is_told(connection: NatsConnection, stream: WorkStream) -> None:
    api = JetStreamApi(connection)
    await api.put_consumer(stream.name, {"durable_name": "d", "name": "d", "ack_policy": "none"}, "create")
    consumer = PullConsumer(connection, ConsumerSpec(stream=stream.name, durable="d"), print, slots=1)
    with pytest.raises(InternalError, match="ack_policy is 'none', should be 'explicit'"):
        await consumer.start()
    assert "ack_policy" in consumer.trouble
    assert not consumer.healthy
    await consumer.close()


async def test_without_its_stream_a_consumer_does_not_start(connection: NatsConnection) -> None:
    consumer = PullConsumer(connection, ConsumerSpec(stream="NONE", durable="d"), print, slots=1)
    with pytest.raises(NotFoundError, match="Stream NONE"):
        await consumer.start()


async def test_two_replicas_start_at_once(connect: Connect, nats_url: str, stream: WorkStream) -> None:
    spec = ConsumerSpec(stream=stream.name, durable="d")
    consumers = [PullConsumer(await connect(nats_url), spec, print, slots=1) for _ in range(5)]
    await asyncio.gather(*(consumer.start() for consumer in consumers))
    assert all(consumer.healthy for consumer in consumers)
    for consumer in consumers:
        await consumer.close()
