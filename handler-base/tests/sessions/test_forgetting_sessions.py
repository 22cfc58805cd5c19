"""A user who is forgotten is gone from the store, and nobody else is."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from handler_base.sessions import Preferences, QuotaLimits, SessionStore, Turn

from .conftest import OpenStore


@pytest.fixture
async def store(open_store: OpenStore) -> SessionStore:
    return await open_store(limits=QuotaLimits(requests_per_minute=1000, tokens_per_day=10**6))


async def use_everything(store: SessionStore, user: str) -> None:
    await store.set_preferences(user, Preferences(voice="alba"))
    await store.open_session(user, "s1", username="N", premium=False, kind="chat")
    for session in ("s1", "s2", "ann"):
        await store.begin(user, session)
        store.finish(user, session, Turn.of("q", "a", "r"), tokens=5)
    await store.begin(user, "s1")


def of(user: str) -> set[str]:
    each = {f"fleet:{kind}:{user}:{session}" for kind in ("session", "conversation") for session in ("s1", "s2", "ann")}
    return each | {f"fleet:{kind}:{user}" for kind in ("sessions", "login", "preferences", "quota")}


async def test_everything_of_a_user_goes_and_nothing_of_others(store: SessionStore, redis: Redis) -> None:
    others = ("an", "annabel", "ann-1", "ann_", "bann", "s1", "a*n", "ann:s1")
    for user in ("ann", *others):
        await use_everything(store, user)
    everything = set(await redis.keys("*"))
    assert of("ann") <= everything
    assert await store.forget("ann") == len(of("ann"))
    assert set(await redis.keys("*")) == everything - of("ann")
    assert await store.forget("ann") == 0
    assert (await store.begin("ann", "")).session_id == ""


@pytest.mark.parametrize("user", ["*", "a?", "[a-z]*", "a\\", "ann:s1", "ä ö", "%41", ""])
async def test_no_id_is_taken_for_a_pattern(store: SessionStore, redis: Redis, user: str) -> None:
    for one in ("ann", "a", "A", "ab", user):
        await use_everything(store, one)
    before = len(await redis.keys("*"))
    assert await store.forget(user) == 10
    assert len(await redis.keys("*")) == before - 10
    assert await store.sessions(user) == []


async def test_a_user_of_many_sessions_among_many_is_forgotten(store: SessionStore, redis: Redis) -> None:
    await redis.mset({f"fleet:session:{user}:{number}": "1" for user in ("ann", "someone") for number in range(5000)})
    assert await store.forget("ann") == 5000
    assert await redis.dbsize() == 5000


async def test_what_an_older_version_kept_is_forgotten_too(store: SessionStore, redis: Redis) -> None:
    await redis.rpush("fleet:conversation:ann:s9", "x")
    await redis.hset("fleet:session:ann", "username", "Ann")
    assert await store.forget("ann") == 2
    assert await redis.keys("*") == []


async def test_a_question_under_way_leaves_nothing_behind(store: SessionStore, redis: Redis) -> None:
    opening = await store.begin("ann", "s1")
    await store.forget("ann")
    store.finish("ann", opening.session_id, Turn.of("q", "a", "r"), tokens=100)
    await store.save_title("ann", "s1", "Secrets")
    assert not await store.save_summary("ann", "s1", "Secrets", 1)
    assert await redis.keys("*") == []
