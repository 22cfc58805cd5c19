"""Summaries move forward only, and take the turns they tell of out of an opening."""

from __future__ import annotations

from redis.asyncio import Redis

from handler_base.sessions import SessionStore, Turn

from .conftest import OpenStore


async def converse(store: SessionStore, turns: range, session: str = "s1") -> None:
    await store.begin("ann", session)
    for number in turns:
        store.finish("ann", session, turn(number))


def turn(number: int) -> Turn:
    return Turn.of(f"q{number}", "a", f"r{number}")


async def test_what_a_summary_covers_is_left_out(store: SessionStore) -> None:
    await converse(store, range(4))
    assert await store.unsummarised("ann", "s1") == ("", 0, [turn(number) for number in range(4)])
    assert await store.save_summary("ann", "s1", "They talked über ferries.", 3)
    opening = await store.begin("ann", "s1")
    assert (opening.summary, opening.turns) == ("They talked über ferries.", [turn(3)])
    assert await store.unsummarised("ann", "s1") == ("They talked über ferries.", 3, [turn(3)])
    await converse(store, range(4, 6))
    assert (await store.begin("ann", "s1")).turns == [turn(3), turn(4), turn(5)]


async def test_a_summary_of_everything_leaves_no_turns(store: SessionStore) -> None:
    await converse(store, range(3))
    assert await store.save_summary("ann", "s1", "all", 3)
    assert (await store.begin("ann", "s1")).turns == []
    assert await store.unsummarised("ann", "s1") == ("all", 3, [])


async def test_a_summary_moves_only_forward(store: SessionStore) -> None:
    await converse(store, range(4))
    assert await store.save_summary("ann", "s1", "of two", 2)
    assert not await store.save_summary("ann", "s1", "also of two", 2)
    assert not await store.save_summary("ann", "s1", "of one", 1)
    assert not await store.save_summary("ann", "s1", "of turns to come", 5)
    assert (await store.unsummarised("ann", "s1"))[:2] == ("of two", 2)
    assert await store.save_summary("ann", "s1", "of four", 4)


async def test_turns_dropped_before_a_summary_count_as_covered(open_store: OpenStore) -> None:
    store = await open_store(most_turns=2)
    await converse(store, range(10))
    assert await store.unsummarised("ann", "s1") == ("", 6, [turn(number) for number in range(6, 10)])


async def test_a_session_that_is_gone_gets_neither_summary_nor_title(store: SessionStore, redis: Redis) -> None:
    assert not await store.save_summary("ann", "s1", "of nothing", 1)
    await store.save_title("ann", "s1", "Nothing")
    assert await store.unsummarised("ann", "s1") == ("", 0, [])
    assert await redis.keys("*") == []


async def test_a_title_is_kept(store: SessionStore) -> None:
    await converse(store, range(1))
    await store.save_title("ann", "s1", "Fähren am Sonntag")
    session = await store.session("ann", "s1")
    assert session is not None
    assert session.title == "Fähren am Sonntag"
