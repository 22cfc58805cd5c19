"""Objects are read whole, or there is a typed error; what is put in, another client can read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import nats
import pytest
from nats.js.errors import NotFoundError as NotThere
from nats.js.object_store import ObjectStore as Bucket

from handler_base.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError, UpstreamError
from handler_base.nats_client import ConnectionOptions, NatsConnection, ObjectStore
from handler_base.testing.nats_server import NatsServer

MOST = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture
async def bucket(server: NatsServer) -> AsyncIterator[Bucket]:
    client = await nats.connect(server.url)
    js = client.jetstream()
    yield await js.create_object_store("audio")
    await js.delete_object_store("audio")
    await client.close()


@pytest.fixture
async def store(server: NatsServer) -> AsyncIterator[ObjectStore]:
    connection = NatsConnection(ConnectionOptions(servers=(server.url,), name="reader"))
    await connection.connect()
    yield ObjectStore(connection)
    await connection.close()


@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 700_000])
@pytest.mark.parametrize("name", ["q1.wav", "2026/11/ü ?.webm"])
async def test_an_object_is_read_whole(bucket: Bucket, store: ObjectStore, name: str, size: int) -> None:
    data = os.urandom(size)
    await bucket.put("another", b"of another name")
    await bucket.put(name, data)
    assert await store.get("audio", name, most_bytes=MOST) == data


async def test_the_latest_of_a_name_is_read(bucket: Bucket, store: ObjectStore) -> None:
    await bucket.put("q1", b"one" * 100_000)
    await bucket.put("q1", b"two")
    assert await store.get("audio", "q1", most_bytes=MOST) == b"two"


async def test_what_is_not_there_is_not_found(bucket: Bucket, store: ObjectStore) -> None:
    await bucket.put("q1", b"gone")
    await bucket.delete("q1")
    for place, name in (("audio", "q1"), ("audio", "q2"), ("video", "q1")):
        with pytest.raises(NotFoundError):
            await store.get(place, name, most_bytes=MOST)


async def test_what_is_too_large_is_not_read(bucket: Bucket, store: ObjectStore) -> None:
    await bucket.put("q1", bytes(1001))
    with pytest.raises(PayloadTooLargeError):
        await store.get("audio", "q1", most_bytes=1000)


@pytest.mark.parametrize(
    ("place", "name"), [("a.b", "q"), ("audio.>", "q"), ("", "q"), ("audio", ""), ("audio", "x" * 999)]
)
async def test_what_cannot_be_a_name_is_refused(store: ObjectStore, place: str, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        await store.get(place, name, most_bytes=MOST)


async def test_an_object_that_lost_a_chunk_is_not_whole(bucket: Bucket, store: ObjectStore, server: NatsServer) -> None:
    info = await bucket.put("q1", os.urandom(400_000))
    client = await nats.connect(server.url)
    await client.jetstream().delete_msg("OBJ_audio", 2)
    await client.close()
    assert info.nuid
    with pytest.raises(UpstreamError):
        await store.get("audio", "q1", most_bytes=MOST)


@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 700_000])
async def test_another_client_reads_what_is_put_in(bucket: Bucket, store: ObjectStore, size: int) -> None:
    data = os.urandom(size)
    await store.put("audio", "2026/ü.wav", data)
    assert (await bucket.get("2026/ü.wav")).data == data
    assert await store.get("audio", "2026/ü.wav", most_bytes=MOST) == data


async def test_what_is_replaced_or_deleted_takes_no_room(bucket: Bucket, store: ObjectStore) -> None:
    await store.put("audio", "q1", b"one" * 100_000)
    await store.put("audio", "q1", b"two")
    assert (await bucket.get("q1")).data == b"two"
    await store.delete("audio", "q1")
    with pytest.raises(NotThere):
        await bucket.get_info("q1")
    assert (await bucket.status()).size < 1000


async def test_a_bucket_is_made_once(store: ObjectStore, server: NatsServer) -> None:
    for age in (timedelta(hours=1), timedelta(hours=2)):
        await store.make_bucket("made", max_age=age)
    await store.put("made", "q1", b"kept")
    client = await nats.connect(server.url)
    info = await client.jetstream().stream_info("OBJ_made")
    await client.close()
    assert info.config.max_age == 3600
    assert await store.get("made", "q1", most_bytes=MOST) == b"kept"


async def test_nothing_is_put_into_a_bucket_that_is_not_there(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError):
        await store.put("nowhere", "q1", b"lost")
    with pytest.raises(InvalidRequestError):
        await store.put("no bucket", "q1", b"lost")
