"""Reading a stream in order, leaving nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from handler_base.errors import NotFoundError, UpstreamUnavailableError
from handler_base.nats_client import JetStreamApi, NatsConnection, StreamReader
from handler_base.nats_client.jetstream_api import StreamInfo
from handler_base.testing.nats_connect import Connect, WorkStream, make_stream
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until


async def sequences(reader: StreamReader, **bounds: int | datetime) -> list[int]:
    return [message.sequence async for message in reader.read(**bounds)]  # type: ignore[arg-type]  # names and types checked at run time


async def fill(connection: NatsConnection, stream: WorkStream, count: int, size: int = 10) -> None:
    for number in range(count):
        await connection.publish(f"{stream.subject}.{number % 2}", b"%d" % number + b"x" * size)
    await connection.jetstream_publish(stream.subject, b"last")


async def info(connection: NatsConnection, stream: WorkStream) -> StreamInfo:
    found = await JetStreamApi(connection).stream_info(stream.name)
    assert isinstance(found, StreamInfo)
    return found


@pytest.mark.parametrize("count", [0, 998, 999, 1000, 2500])
async def test_all_is_read_whatever_the_number(connection: NatsConnection, stream: WorkStream, count: int) -> None:
    await fill(connection, stream, count)
    assert await sequences(StreamReader(connection, stream.name)) == list(range(1, count + 2))
    assert (await info(connection, stream)).state.consumer_count == 0


async def test_large_messages_come_in_smaller_batches(connection: NatsConnection, stream: WorkStream) -> None:
    await fill(connection, stream, 80, 900_000)
    assert await sequences(StreamReader(connection, stream.name)) == list(range(1, 82))


async def test_an_empty_stream_and_one_that_is_not_there(connection: NatsConnection, stream: WorkStream) -> None:
    assert await sequences(StreamReader(connection, stream.name)) == []
    with pytest.raises(NotFoundError):
        await sequences(StreamReader(connection, "NOT_THERE"))
    with pytest.raises(NotFoundError):
        await StreamReader(connection, "NOT_THERE").info()


async def test_a_part_is_read(connection: NatsConnection, stream: WorkStream) -> None:
    await fill(connection, stream, 10)
    reader = StreamReader(connection, stream.name)
    assert await sequences(reader, start=3, end=5) == [3, 4, 5]
    assert await sequences(reader, start=11, end=11) == [11]
    assert await sequences(reader, start=12) == []
    assert await sequences(reader, since=datetime.now(UTC) - timedelta(hours=1)) == list(range(1, 12))
    assert await sequences(reader, since=datetime.now(UTC) + timedelta(hours=1)) == []
    odd = StreamReader(connection, stream.name, subjects=(f"{stream.subject}.1", stream.subject), headers_only=True)
    assert await sequences(odd) == [2, 4, 6, 8, 10, 11]
    async with aclosing(odd.read()) as messages:
        first = await anext(messages)
    assert (first.subject, first.data) == (f"{stream.subject}.1", b"")
    assert abs(first.stored_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_reading_ends_with_the_link(connect: Connect, own_server: NatsServer) -> None:
    connection = await connect(own_server.url)
    stream = await make_stream(connection)
    await fill(connection, stream, 3000)
    async with aclosing(StreamReader(connection, stream.name).read()) as messages:
        await anext(messages)
        own_server.kill()
        await own_server.start_async()
        with pytest.raises(UpstreamUnavailableError):
            async for _ in messages:
                pass


async def test_following_goes_on_when_the_consumer_goes(connection: NatsConnection, stream: WorkStream) -> None:
    reader = StreamReader(connection, stream.name)
    await connection.jetstream_publish(stream.subject, b"one")
    async with aclosing(reader.follow(1)) as messages:
        assert (await anext(messages)).data == b"one"
        names = await connection.request(f"$JS.API.CONSUMER.NAMES.{stream.name}", b"", timeout=timedelta(seconds=5))
        name = names.data.decode().partition('"consumers":["')[2].partition('"')[0]
        assert await JetStreamApi(connection).delete_consumer(stream.name, name) is True
        await connection.jetstream_publish(stream.subject, b"two")
        assert (await asyncio.wait_for(anext(messages), 10)).data == b"two"
    assert (await info(connection, stream)).state.consumer_count == 0


async def test_following_begins_again_when_the_stream_is_made_anew(connection: NatsConnection) -> None:
    stream = await make_stream(connection)
    await connection.jetstream_publish(stream.subject, b"old")
    await connection.jetstream_publish(stream.subject, b"older")
    async with aclosing(StreamReader(connection, stream.name).follow(2)) as messages:
        assert (await anext(messages)).data == b"older"
        waiting = asyncio.ensure_future(anext(messages))
        await wait_until(lambda: consumers(connection, stream))
        await connection.request(f"$JS.API.STREAM.DELETE.{stream.name}", b"", timeout=timedelta(seconds=5))
        await make_stream(connection, stream.name)
        await connection.jetstream_publish(stream.subject, b"new")
        assert (await asyncio.wait_for(waiting, 10)).data == b"new"


async def consumers(connection: NatsConnection, stream: WorkStream) -> int:
    return (await info(connection, stream)).state.consumer_count


async def test_messages_are_purged_counted_and_erased(connection: NatsConnection, stream: WorkStream) -> None:
    api = JetStreamApi(connection)
    await fill(connection, stream, 4)
    wanted = {f"{stream.subject}.0": 2, f"{stream.subject}.1": 2}
    assert await api.subjects(stream.name, f"{stream.subject}.*") == wanted
    assert await api.subjects(stream.name, f"{stream.subject}.nobody") == {}
    assert await api.purge(stream.name, f"{stream.subject}.0") == 2
    assert await api.delete_message(stream.name, 2, erase=True) is True
    assert await sequences(StreamReader(connection, stream.name)) == [4, 5]
