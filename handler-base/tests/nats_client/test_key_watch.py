"""Following a bucket: what it has, then every change, also when the link was away."""

from __future__ import annotations

import uuid

import pytest

from handler_base.errors import UpstreamUnavailableError
from handler_base.messages.streams import BucketSpec
from handler_base.nats_client import (
    ConnectionOptions,
    KeyValue,
    KeyValueEntry,
    KeyWatch,
    NatsConnection,
    StreamManager,
)
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until


@pytest.fixture
def bucket() -> BucketSpec:
    """One that no other test uses."""
    return BucketSpec(f"WATCHED_{uuid.uuid4().hex[:8]}", "Things.")


async def test_it_tells_what_there_is_and_then_what_changes(connection: NatsConnection, bucket: BucketSpec) -> None:
    assert await StreamManager(connection).ensure((bucket,)) == ()
    things = KeyValue(connection, bucket)
    await things.put("a", b"old")
    await things.put("a", b"one")
    await things.put("b.c", b"two")
    told: list[KeyValueEntry] = []
    watch = KeyWatch(connection, bucket, told.append)
    await watch.start()
    assert [(entry.key, entry.value) for entry in told] == [("a", b"one"), ("b.c", b"two")]
    revision = await things.put("a", b"three")
    await wait_until(lambda: len(told) == 3)
    assert (told[-1].value, told[-1].revision) == (b"three", revision)
    await watch.stop()
    await things.put("a", b"four")
    await connection.flush()
    assert len(told) == 3


async def test_an_empty_bucket_is_told_at_once(connection: NatsConnection, bucket: BucketSpec) -> None:
    assert await StreamManager(connection).ensure((bucket,)) == ()
    told: list[KeyValueEntry] = []
    watch = KeyWatch(connection, bucket, told.append)
    await watch.start()
    assert told == []
    await watch.stop()


async def test_a_bucket_that_is_not_there_is_an_error(connection: NatsConnection, bucket: BucketSpec) -> None:
    with pytest.raises(UpstreamUnavailableError):
        await KeyWatch(connection, bucket, lambda _: None).start()


async def test_it_goes_on_when_the_server_was_away() -> None:
    bucket = BucketSpec("WATCHED", "Things.")
    with NatsServer() as server:
        connection = NatsConnection(ConnectionOptions(servers=(server.url,)))
        await connection.connect()
        assert await StreamManager(connection).ensure((bucket,)) == ()
        things = KeyValue(connection, bucket)
        await things.put("a", b"one")
        told: list[KeyValueEntry] = []
        watch = KeyWatch(connection, bucket, told.append)
        await watch.start()
        server.kill()
        await wait_until(lambda: not connection.is_connected)
        await server.start_async()
        await wait_until(lambda: connection.is_connected, timeout=10)
        await things.put("b", b"two")
        await wait_until(lambda: any(entry.key == "b" for entry in told), timeout=10)
        assert {entry.key for entry in told} == {"a", "b"}
        await watch.stop()
        await connection.close()
