"""The key-value bucket: compare-and-set, and nothing left behind."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from handler_base.errors import InvalidRequestError, UpstreamUnavailableError
from handler_base.messages.streams import BucketSpec
from handler_base.nats_client import KeyValue, NatsConnection, StreamManager, WrongSequenceError
from handler_base.testing.waiting import wait_until


@pytest.fixture
def bucket() -> BucketSpec:
    """One that no other test uses."""
    return BucketSpec(f"THINGS_{uuid.uuid4().hex[:8]}", "Things.")


@pytest.fixture
async def things(connection: NatsConnection, bucket: BucketSpec) -> KeyValue:
    assert await StreamManager(connection).ensure((bucket,)) == ()
    return KeyValue(connection, bucket)


async def test_a_value_is_read_with_its_revision(things: KeyValue) -> None:
    assert await things.get("open.a") is None
    revision = await things.create("open.a", b"one")
    entry = await things.get("open.a")
    assert entry is not None
    assert (entry.key, entry.value, entry.revision) == ("open.a", b"one", revision)


async def test_of_two_that_change_the_same_revision_one_is_told(things: KeyValue) -> None:
    revision = await things.create("a", b"one")
    with pytest.raises(WrongSequenceError):
        await things.create("a", b"another")
    later = await things.update("a", b"two", revision)
    with pytest.raises(WrongSequenceError):
        await things.update("a", b"three", revision)
    assert await things.update("a", b"three", later) > later


async def test_what_is_dropped_leaves_nothing(things: KeyValue) -> None:
    await things.drop("a", await things.create("a", b"one"))
    assert await things.get("a") is None
    assert await things.keys() == frozenset()
    assert await things.create("a", b"again") > 0


async def test_a_later_value_is_not_dropped(things: KeyValue) -> None:
    revision = await things.create("a", b"one")
    await things.update("a", b"two", revision)
    await things.drop("a", revision)
    entry = await things.get("a")
    assert entry is not None
    assert entry.value == b"two"


async def test_values_are_found_by_pattern(things: KeyValue) -> None:
    for key in ("open.a", "open.b", "done.c"):
        await things.put(key, key.encode())
    assert await things.keys("open.>") == {"open.a", "open.b"}
    assert [entry.value async for entry in things.entries("open.>")] == [b"open.a", b"open.b"]


async def test_a_value_with_a_time_to_live_goes(connection: NatsConnection) -> None:
    spec = BucketSpec("SHORT", "Short.", ttl=timedelta(seconds=0.5), storage="memory")
    await StreamManager(connection).ensure((spec,))
    short = KeyValue(connection, spec)
    await short.put("a", b"one")

    async def gone() -> bool:
        return not await short.keys()

    await wait_until(gone, timeout=10)


async def test_a_bucket_as_it_should_be_has_no_differences(
    connection: NatsConnection, things: KeyValue, bucket: BucketSpec
) -> None:
    assert await things.keys() == frozenset()
    assert await StreamManager(connection).verify((bucket,)) == ()


async def test_a_missing_bucket_is_named(connection: NatsConnection, bucket: BucketSpec) -> None:
    assert await StreamManager(connection).verify((bucket,)) == (f"Stream {bucket.stream} does not exist.",)
    with pytest.raises(UpstreamUnavailableError):
        await KeyValue(connection, bucket).get("a")


@pytest.mark.parametrize("key", ["", "a b", "a.*", ">", "a..b", "ä"])
async def test_a_key_that_would_be_a_pattern_is_refused(things: KeyValue, key: str) -> None:
    with pytest.raises(InvalidRequestError):
        await things.put(key, b"")
