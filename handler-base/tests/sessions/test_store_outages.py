"""A store that is away, hangs, is full or is not ours costs a question little, and is used again when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions import Opening, Preferences, QuotaLimits, SessionStore, Turn
from handler_base.sessions.valkey import ValkeyLink
from handler_base.telemetry import metrics
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

from .conftest import OpenStore

SECRET = "my secret is a plum"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO)
    yield caplog
    records = caplog.get_records("setup") + caplog.get_records("call")
    assert not any(SECRET in str(vars(record)) for record in records)


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons of the warnings."""
    return [getattr(record, "reason", "") for record in log.records if record.levelno >= logging.WARNING]


def counted(operation: str) -> float:
    return float(metrics.SWALLOWED_ERRORS.of(f"sessions.{operation}")._value.get())


@pytest.fixture
async def store(open_store: OpenStore) -> SessionStore:
    """With the time limit it has in service."""
    return await open_store(timeout=0.05)


async def back_again(store: SessionStore, within: float = 1.5) -> None:
    async def stored() -> bool:
        return (await store.begin("ann", "s1")).stored

    assert await wait_until(stored, timeout=10, every=0.02) < within


async def test_a_store_that_was_never_there(
    open_store: OpenStore, server: RedisServer, warnings: pytest.LogCaptureFixture
) -> None:
    server.kill()
    store = await open_store(timeout=0.05)
    assert not store.available
    before = counted("begin"), counted("finish")
    assert await store.begin("ann", "s1") == Opening("s1")
    store.finish("ann", "s1", Turn.of(SECRET, "a"))
    assert not await store.open_session("ann", "s1", username="", premium=False, kind="chat")
    assert (counted("begin"), counted("finish")) == (before[0] + 1, before[1] + 1)
    assert told(warnings) == ["unreachable"]
    await server.start()
    await back_again(store)


async def test_a_store_that_is_killed_and_comes_back(
    store: SessionStore, server: RedisServer, warnings: pytest.LogCaptureFixture
) -> None:
    assert (await store.begin("ann", "s1")).created
    server.kill()
    for _ in range(20):
        assert await store.begin("ann", "s1") == Opening("s1")
        store.finish("ann", "s1", Turn.of(SECRET, "a"))
    assert not store.available
    assert len(told(warnings)) == 1
    await server.start()
    await back_again(store)
    store.finish("ann", "s1", Turn.of("q", "a"))
    assert (await store.begin("ann", "s1")).turns == [Turn.of("q", "a")]
    assert len(told(warnings)) == 1


async def test_a_hanging_store_costs_its_time_limit_once_a_second(
    store: SessionStore, server: RedisServer, warnings: pytest.LogCaptureFixture
) -> None:
    await store.begin("ann", "s1")
    server.pause()
    try:
        began = time.monotonic()
        openings = await asyncio.gather(*(store.begin("ann", "s1") for _ in range(50)))
        assert time.monotonic() - began < 0.1
        assert not any(opening.stored for opening in openings)
        for _ in range(200):
            await store.begin("ann", "s1")
            store.finish("ann", "s1", Turn.of(SECRET, "a"))
        assert time.monotonic() - began < 0.3
        await wait_until(lambda: store.available)
        again = time.monotonic()
        assert not (await store.begin("ann", "s1")).stored
        assert time.monotonic() - again < 0.1
        assert not store.available
    finally:
        server.resume()
    assert len(told(warnings)) == 1
    await back_again(store)


async def test_both_calls_of_a_question_cost_no_more_than_a_tenth_of_a_second(
    store: SessionStore, server: RedisServer
) -> None:
    await store.begin("ann", "s1")
    server.pause()
    try:
        began = time.monotonic()
        await store.begin("ann", "s1")
        between = time.monotonic()
        store.finish("ann", "s1", Turn.of("q", "a"))
        assert time.monotonic() - between < 0.02
        assert time.monotonic() - began < 0.1
    finally:
        server.resume()


async def test_a_late_reply_is_nobody_elses(open_store: OpenStore, server: RedisServer) -> None:
    store = await open_store(timeout=0.05)
    for user in ("ann", "bob"):
        await store.begin(user, "s1")
        store.finish(user, "s1", Turn.of(f"of {user}", "a"))
    server.pause()
    assert not (await store.begin("ann", "s1")).stored
    server.resume()
    await wait_until(lambda: store.available)
    assert (await store.begin("bob", "s1")).turns == [Turn.of("of bob", "a")]


async def test_a_lost_finish_is_counted(store: SessionStore, server: RedisServer) -> None:
    await store.begin("ann", "s1")
    before = counted("finish")
    server.pause()
    store.finish("ann", "s1", Turn.of("q", "a"))
    await wait_until(lambda: counted("finish") == before + 1)
    server.resume()
    assert not store.available


async def test_a_finish_may_make_the_connection(store: SessionStore, server: RedisServer) -> None:
    await store.begin("ann", "s1")
    other = SessionStore(server.url, ttl=timedelta(days=7), most_turns=3, timeout=timedelta(seconds=2))
    other.finish("ann", "s1", Turn.of("q", "a"))
    await other.close()
    assert (await store.begin("ann", "s1")).turns == [Turn.of("q", "a")]


async def test_a_full_store_still_tells_what_it_has(
    store: SessionStore, redis: Redis, warnings: pytest.LogCaptureFixture
) -> None:
    await store.set_preferences("ann", Preferences(voice="alba"))
    await store.begin("ann", "s1")
    store.finish("ann", "s1", Turn.of("q", "a"))
    await store.begin("ann", "s1")
    await redis.config_set("maxmemory", "1")
    before = counted("finish")
    for _ in range(3):
        opening = await store.begin("ann", "s1")
        assert (opening.turns, opening.preferences.voice, opening.stored) == ([Turn.of("q", "a")], "alba", True)
        store.finish("ann", "s1", Turn.of(SECRET, "a"))
    assert not (await store.begin("ann", "new")).created
    with pytest.raises(UpstreamUnavailableError):
        await store.set_preferences("ann", Preferences())
    assert store.available
    assert counted("finish") == before + 3
    assert told(warnings) == ["OOM"]
    await redis.config_set("maxmemory", "0")
    store.finish("ann", "s1", Turn.of("q2", "a"))
    assert [turn.question for turn in (await store.begin("ann", "s1")).turns] == ["q", "q2"]


async def test_a_full_store_limits_nobody(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=1))
    await redis.config_set("maxmemory", "1")
    assert [(await store.begin("ann", "s1")).retry_after for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("key", ["session:ann:s1", "conversation:ann:s1", "sessions:ann", "login:ann", "quota:ann"])
async def test_a_key_of_the_wrong_type_takes_no_more_than_it_must(
    open_store: OpenStore, redis: Redis, warnings: pytest.LogCaptureFixture, key: str
) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=100, tokens_per_day=100))
    await store.set_preferences("ann", Preferences(voice="alba"))
    await redis.geoadd(f"fleet:{key}", [1, 1, "x"]) if key != "sessions:ann" else await redis.set(
        f"fleet:{key}", SECRET
    )
    for _ in range(3):
        opening = await store.begin("ann", "s1")
        assert (opening.preferences.voice, opening.stored) == ("alba", True)
        store.finish("ann", "s1", Turn.of("q", SECRET), tokens=1)
    await store.begin("ann", "")
    await store.open_session("ann", "s1", username="", premium=False, kind="chat")
    assert store.available
    assert told(warnings) == ["WRONGTYPE"]
    assert (await store.begin("bob", "s1")).created


async def test_what_cannot_be_read_is_left_out(
    store: SessionStore, redis: Redis, warnings: pytest.LogCaptureFixture
) -> None:
    await redis.set("fleet:preferences:ann", SECRET)
    await redis.rpush("fleet:conversation:ann:s1", b"\xc1")
    assert await store.begin("ann", "s1") == Opening("s1", created=True, stored=True)
    assert await store.unsummarised("ann", "s1") == ("", 1, [])
    assert await store.preferences("ann") == Preferences()
    await redis.hset("fleet:session:ann:s1", mapping={"metadata": SECRET, "turns": "x", "started": "-"})
    session = await store.session("ann", "s1")
    assert session is not None
    assert (session.metadata, session.turns, session.started) == ({}, 0, 0)
    assert told(warnings) == ["unreadable"]


async def test_text_that_is_no_text_is_kept_as_far_as_it_is(store: SessionStore) -> None:
    await store.begin("ann", "s1")
    store.finish("ann", "s1", Turn.of("ö\ud800", "a"))
    assert [(turn.question, turn.answer) for turn in (await store.begin("ann", "s1")).turns] == [("ö?", "a")]
    assert await store.begin("ann", "s1", username="\ud800") == Opening("s1")


async def test_a_store_that_wants_a_password(
    open_store: OpenStore, redis: Redis, server: RedisServer, warnings: pytest.LogCaptureFixture
) -> None:
    await redis.config_set("requirepass", "right")
    for url in (server.url, server.url.replace("://", f"://:{SECRET.replace(' ', '%20')}@")):
        store = await open_store(url=url, timeout=0.05)
        assert await store.begin("ann", "s1") == Opening("s1")
        assert not store.available
    assert set(told(warnings)) <= {"NOAUTH", "WRONGPASS"}
    assert len(told(warnings)) == 2
    await redis.config_set("requirepass", "")


async def test_a_replica_is_left_for_the_server_that_writes(store: SessionStore, redis: Redis) -> None:
    await store.begin("ann", "s1")
    await redis.replicaof("127.0.0.1", "1")
    await store.begin("ann", "s1")
    assert not store.available
    await redis.replicaof("NO", "ONE")
    await back_again(store)


async def test_who_asks_for_more_than_an_answer_is_told(store: SessionStore, server: RedisServer) -> None:
    server.kill()
    for call in (
        store.preferences("ann"),
        store.set_preferences("ann", Preferences()),
        store.session("ann", "s1"),
        store.sessions("ann"),
        store.forget("ann"),
    ):
        with pytest.raises(UpstreamUnavailableError):
            await call
    assert await store.unsummarised("ann", "s1") == ("", 0, [])
    assert not await store.save_summary("ann", "s1", "x", 1)
    await store.save_title("ann", "s1", "x")


async def test_a_store_that_is_still_loading(
    store: SessionStore, server: RedisServer, redis: Redis, warnings: pytest.LogCaptureFixture
) -> None:
    assert (await store.begin("ann", "s1")).created
    await redis.mset({f"k{number}": "x" * 10_000 for number in range(1000)})
    await redis.config_set("key-load-delay", "1000")
    operator = ValkeyLink(server.url, timeout=timedelta(seconds=20))
    loading = asyncio.ensure_future(operator.call("DEBUG", "RELOAD"))

    async def refused() -> bool:
        return not (await store.begin("ann", "s1")).stored

    await wait_until(refused)
    assert not store.available
    assert not loading.done()
    await loading
    await operator.close()
    assert len(told(warnings)) == 1
    await back_again(store)
    assert not (await store.begin("ann", "s1")).created
