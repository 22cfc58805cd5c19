"""Quotas are buckets that refill by the server's clock."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from handler_base.sessions import Opening, QuotaLimits, SessionStore, Turn
from handler_base.testing.waiting import wait_until

from .conftest import OpenStore

DAY = 86400


async def spend(store: SessionStore, questions: int, *, premium: bool = False) -> list[Opening]:
    return list(await asyncio.gather(*(store.begin("ann", "s1", premium=premium) for _ in range(questions))))


def allowed(openings: list[Opening]) -> int:
    return sum(opening.retry_after is None for opening in openings)


def seconds(opening: Opening) -> float:
    assert opening.retry_after is not None
    return opening.retry_after.total_seconds()


async def test_a_minutes_questions_may_come_at_once_and_no_more(open_store: OpenStore) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=6))
    openings = await spend(store, 10)
    assert allowed(openings) == 6
    assert all(opening.stored for opening in openings)
    refused = openings[-1]
    assert (refused.session_id, refused.created, refused.turns) == ("s1", False, [])
    assert 9 < seconds(refused) <= 10


async def test_a_quota_refills_and_says_when(open_store: OpenStore) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=120))
    openings = await spend(store, 130)
    assert 120 <= allowed(openings) <= 121
    told = seconds((await spend(store, 1))[0])
    assert told <= 0.5

    async def granted() -> bool:
        return (await store.begin("ann", "s1")).retry_after is None

    waited = await wait_until(granted)
    assert waited == pytest.approx(told, rel=0.1, abs=0.03)
    assert not await granted(), "only what was refilled"


async def test_being_refused_costs_nothing_and_opens_nothing(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=1))
    assert allowed(await spend(store, 1)) == 1
    first = seconds(await store.begin("ann", "s2"))
    for _ in range(20):
        assert seconds(await store.begin("ann", "s2")) <= first
    assert not await redis.exists("fleet:session:ann:s2")


async def test_users_and_tiers_have_buckets_of_their_own(open_store: OpenStore) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=2, premium_requests_per_minute=4))
    assert allowed(await spend(store, 10)) == 2
    assert allowed(await spend(store, 10, premium=True)) == 4
    assert (await store.begin("bob", "s1")).retry_after is None
    assert allowed(await spend(store, 1)) == 0


async def test_replicas_share_a_bucket(open_store: OpenStore) -> None:
    limits = QuotaLimits(requests_per_minute=5)
    one, other = await open_store(limits=limits), await open_store(limits=limits)
    assert allowed(await spend(one, 3)) + allowed(await spend(other, 10)) == 5


async def test_tokens_are_charged_after_the_answer_and_may_go_into_debt(open_store: OpenStore) -> None:
    store = await open_store(limits=QuotaLimits(tokens_per_day=1000, premium_tokens_per_day=100))
    assert allowed(await spend(store, 5)) == 5
    store.finish("ann", "s1", Turn.of("q", "a"), tokens=900)
    assert (await store.begin("ann", "s1")).retry_after is None
    store.finish("ann", "s1", None, tokens=600)
    refused = await store.begin("ann", "s1")
    assert seconds(refused) == pytest.approx(501 * DAY / 1000, rel=0.01)
    assert (await store.begin("ann", "s1", premium=True)).retry_after is None
    store.finish("ann", "", None, tokens=200, premium=True)
    assert seconds(await store.begin("ann", "", premium=True)) == pytest.approx(101 * DAY / 100, rel=0.01)


async def test_a_debt_is_paid_by_time(open_store: OpenStore) -> None:
    store = await open_store(limits=QuotaLimits(tokens_per_day=DAY * 10_000))
    await store.begin("ann", "s1")
    store.finish("ann", "s1", None, tokens=DAY * 10_000 + 5_000)
    told = seconds(await store.begin("ann", "s1"))
    assert told == pytest.approx(0.5, rel=0.1)

    async def granted() -> bool:
        return (await store.begin("ann", "s1")).retry_after is None

    assert await wait_until(granted) == pytest.approx(told, rel=0.1, abs=0.03)


async def test_a_bucket_never_holds_more_than_its_limit(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=3))
    await store.begin("ann", "s1")
    await redis.hset("fleet:quota:ann", "requests:0", "0.5 1000000000.000000")
    assert allowed(await spend(store, 10)) == 3


async def test_a_clock_that_steps_back_takes_nothing_away(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=3))
    await store.begin("ann", "s1")
    await redis.hset("fleet:quota:ann", "requests:0", "2.0 9000000000.000000")
    assert allowed(await spend(store, 10)) == 2


@pytest.mark.parametrize("nonsense", ["", "abc", "1", "nan nan", "x y z"])
async def test_nonsense_in_a_bucket_is_a_full_one(open_store: OpenStore, redis: Redis, nonsense: str) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=2))
    await redis.hset("fleet:quota:ann", "requests:0", nonsense)
    assert allowed(await spend(store, 4)) == 2


async def test_a_quota_lives_two_days(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(limits=QuotaLimits(requests_per_minute=10, tokens_per_day=10))
    await store.begin("ann", "s1")
    store.finish("ann", "s1", None, tokens=3)
    await store.begin("ann", "s1")
    assert 2 * DAY - 60 <= await redis.ttl("fleet:quota:ann") <= 2 * DAY


async def test_without_limits_nothing_is_counted(store: SessionStore, redis: Redis) -> None:
    assert allowed(await spend(store, 200)) == 200
    store.finish("ann", "s1", None, tokens=10**9)
    assert (await store.begin("ann", "s1")).retry_after is None
    assert not await redis.exists("fleet:quota:ann")


def test_limits_say_what_each_tier_is_granted() -> None:
    limits = QuotaLimits(1, 2, 3, 4)
    assert (limits.granted(premium=False), limits.granted(premium=True)) == ((1, 2), (3, 4))
