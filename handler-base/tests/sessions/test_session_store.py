"""What a session store keeps, seen through its own door and in the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from handler_base.sessions import Opening, Preferences, SessionStore, Turn
from handler_base.testing.redis_server import RedisServer

from .conftest import OpenStore

WEEK = 7 * 86400


async def questions(store: SessionStore, user: str = "ann", session: str = "s1") -> list[str]:
    return [turn.question for turn in (await store.begin(user, session)).turns]


async def ask(store: SessionStore, number: int, *, user: str = "ann", session: str = "s1") -> Opening:
    """Begin and finish a question."""
    opening = await store.begin(user, session)
    store.finish(user, session, Turn.of(f"q{number}", f"a{number}", f"r{number}", number))
    return opening


async def test_a_session_is_opened_by_its_first_question(store: SessionStore) -> None:
    before = int(time.time())
    first = await store.begin(
        "ann", "s1", premium=True, username="Ann Ö", kind="voice", metadata={"client": "app", "ß": "x:y"}
    )
    assert first == Opening("s1", created=True, stored=True)
    assert not (await store.begin("ann", "s1")).created
    session = await store.session("ann", "s1")
    assert session is not None
    assert (session.kind, session.username, session.premium, session.turns) == ("voice", "Ann Ö", True, 0)
    assert session.metadata == {"client": "app", "ß": "x:y"}
    assert before <= session.started <= session.last_activity <= time.time()


async def test_of_many_at_once_one_opens_the_session(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(5)]
    openings = await asyncio.gather(*(store.begin("ann", "s1") for store in stores for _ in range(10)))
    assert sum(opening.created for opening in openings) == 1
    assert all(opening.stored for opening in openings)


async def test_a_finished_question_is_seen_by_the_next(store: SessionStore) -> None:
    for number in range(3):
        await ask(store, number)
    opening = await store.begin("ann", "s1")
    assert opening.turns == [Turn.of(f"q{number}", f"a{number}", f"r{number}", number) for number in range(3)]
    session = await store.session("ann", "s1")
    assert session is not None
    assert session.turns == 3


async def test_turns_keep_the_order_they_were_finished_in(open_store: OpenStore) -> None:
    store = await open_store(most_turns=100)
    await store.begin("ann", "s1")
    for number in range(100):
        store.finish("ann", "s1", Turn.of(str(number), "a", str(number)))
    assert await questions(store) == [str(number) for number in range(100)]


async def test_an_opening_brings_the_last_turns_and_twice_as_many_are_kept(store: SessionStore, redis: Redis) -> None:
    for number in range(10):
        await ask(store, number)
    assert await questions(store) == ["q7", "q8", "q9"]
    assert await redis.llen("fleet:conversation:ann:s1") == 6
    assert await redis.hget("fleet:session:ann:s1", "turns") == "10"


async def test_a_turn_is_kept_once_for_its_request(store: SessionStore) -> None:
    await store.begin("ann", "s1")
    store.finish("ann", "s1", Turn.of("q", "a", "r1"))
    store.finish("ann", "s1", Turn.of("q2", "a2", "r1"))
    store.finish("ann", "s1", Turn.of("q3", "a", "r"))
    store.finish("ann", "s1", Turn.of("q4", "a", "1"))
    assert await questions(store) == ["q", "q3", "q4"]
    for _ in range(2):
        store.finish("ann", "s1", Turn.of("no id", "a"))
    assert await questions(store) == ["q4", "no id", "no id"]


async def test_a_repeated_request_is_known_as_long_as_its_turn_is_kept(store: SessionStore) -> None:
    for number in range(20):
        await ask(store, number)
    for number in range(14, 20):
        store.finish("ann", "s1", Turn.of("again", "a", f"r{number}"))
    assert await questions(store) == ["q17", "q18", "q19"]


async def test_finishing_without_a_turn_renews_the_session(store: SessionStore, redis: Redis) -> None:
    await ask(store, 1)
    await redis.expire("fleet:session:ann:s1", 100)
    store.finish("ann", "s1", None)
    assert await questions(store) == ["q1"]
    assert await redis.ttl("fleet:session:ann:s1") > WEEK - 60


async def test_what_is_kept_expires_but_what_a_user_prefers(store: SessionStore, redis: Redis) -> None:
    await store.open_session("ann", "s1", username="Ann", premium=False, kind="chat")
    await store.set_preferences("ann", Preferences(voice="alba"))
    await ask(store, 1)
    await store.begin("ann", "s1")
    for key in ("session:ann:s1", "conversation:ann:s1", "sessions:ann", "login:ann"):
        assert WEEK - 60 <= await redis.ttl(f"fleet:{key}") <= WEEK, key
    assert await redis.ttl("fleet:preferences:ann") == -1


async def test_activity_renews_all_of_a_session(store: SessionStore, redis: Redis) -> None:
    await store.open_session("ann", "s1", username="Ann", premium=False, kind="chat")
    await ask(store, 1)
    keys = ("session:ann:s1", "conversation:ann:s1", "sessions:ann", "login:ann")
    activities: list[Callable[[], Awaitable[object]]] = [
        lambda: store.begin("ann", "s1"),
        lambda: store.begin("ann", ""),
        lambda: ask(store, 2),
    ]
    for activity in activities:
        for key in keys:
            assert await redis.expire(f"fleet:{key}", 100), key
        await activity()
        await store.sessions("ann")
        for key in keys:
            assert await redis.ttl(f"fleet:{key}") > WEEK - 60, key


async def test_a_session_of_another_user_is_another_session(store: SessionStore) -> None:
    await ask(store, 1)
    assert await store.begin("bob", "s1") == Opening("s1", created=True, stored=True)
    assert await questions(store) == ["q1"]


@pytest.mark.parametrize(
    ("one", "other"), [(("a:b", "c"), ("a", "b:c")), (("a", "%3A"), ("a", ":")), (("", "x"), ("x", ""))]
)
async def test_no_two_ids_are_taken_for_each_other(
    store: SessionStore, one: tuple[str, str], other: tuple[str, str]
) -> None:
    await ask(store, 1, user=one[0], session=one[1])
    assert (await store.begin(*other)).turns == []
    assert await questions(store, *one) == ["q1"]
    assert one[1] in [session.session_id for session in await store.sessions(one[0])]


async def test_a_login_opens_the_session_of_questions_that_name_none(store: SessionStore) -> None:
    assert await store.open_session("ann", "s1", username="Ann", premium=True, kind="chat")
    assert not await store.open_session("ann", "s1", username="Ann", premium=True, kind="chat")
    store.finish("ann", "s1", Turn.of("q", "a"))
    opening = await store.begin("ann", "")
    assert (opening.session_id, opening.created, opening.turns) == ("s1", False, [Turn.of("q", "a")])
    await store.open_session("ann", "s2", username="Ann", premium=True, kind="chat", login=False)
    assert (await store.begin("ann", "")).session_id == "s1"
    await store.open_session("ann", "s2", username="Ann", premium=True, kind="chat")
    assert (await store.begin("ann", "")).session_id == "s2"


async def test_without_a_login_a_question_that_names_no_session_has_none(store: SessionStore, redis: Redis) -> None:
    await store.set_preferences("ann", Preferences(language="de"))
    opening = await store.begin("ann", "")
    assert opening == Opening("", preferences=Preferences(language="de"), stored=True)
    store.finish("ann", "", Turn.of("q", "a"))
    await store.begin("ann", "")
    assert await redis.keys("fleet:*") == ["fleet:preferences:ann"]


async def test_a_login_of_a_known_session_tells_who_it_is(store: SessionStore) -> None:
    await store.begin("ann", "s1")
    await store.open_session("ann", "s1", username="Ann", premium=True, kind="chat")
    session = await store.session("ann", "s1")
    assert session is not None
    assert (session.username, session.premium) == ("Ann", True)
    assert (await store.begin("ann", "")).session_id == "s1"


async def test_preferences_are_kept(store: SessionStore) -> None:
    assert await store.preferences("ann") == Preferences()
    wished = Preferences(voice="alba", model="big", language="de", rag=False)
    await store.set_preferences("ann", wished)
    assert await store.preferences("ann") == wished
    assert (await store.begin("ann", "s1")).preferences == wished
    assert (await store.begin("bob", "s1")).preferences == Preferences()


async def test_sessions_are_listed_the_last_active_first(store: SessionStore, redis: Redis) -> None:
    for number, session in enumerate(("s1", "s2", "s3")):
        await store.begin("ann", session)
        await redis.zadd("fleet:sessions:ann", {session: int(time.time()) - 100 + number})
    await store.begin("ann", "s1")
    assert [session.session_id for session in await store.sessions("ann")] == ["s1", "s3", "s2"]
    await redis.delete("fleet:session:ann:s3")
    assert [session.session_id for session in await store.sessions("ann")] == ["s1", "s2"]
    assert await store.sessions("bob") == []
    assert await store.session("ann", "s3") is None


async def test_expired_sessions_leave_the_list(store: SessionStore, redis: Redis) -> None:
    await redis.zadd("fleet:sessions:ann", {"old": int(time.time()) - WEEK - 10, "recent": int(time.time()) - 10})
    await store.begin("ann", "s1")
    assert await redis.zrange("fleet:sessions:ann", 0, -1) == ["recent", "s1"]


async def test_turns_of_an_older_version_are_taken_over(store: SessionStore, redis: Redis) -> None:
    for number in range(2):
        await redis.rpush("fleet:conversation:ann:s1", b"\x82\xa8question\xa2q%d\xa6answer\xa1a" % number)
    opening = await store.begin("ann", "s1")
    assert (opening.created, [turn.question for turn in opening.turns]) == (True, ["q0", "q1"])
    store.finish("ann", "s1", Turn.of("q2", "a"))
    assert await store.unsummarised("ann", "s1") == (
        "",
        0,
        [Turn.of("q0", "a"), Turn.of("q1", "a"), Turn.of("q2", "a")],
    )


async def test_without_turns_sessions_are_kept_all_the_same(open_store: OpenStore, redis: Redis) -> None:
    store = await open_store(most_turns=0)
    assert (await ask(store, 1)).created
    assert (await store.begin("ann", "s1")).turns == []
    assert not await redis.exists("fleet:conversation:ann:s1")


async def test_a_store_can_be_turned_off(open_store: OpenStore) -> None:
    off = await open_store(url="")
    assert (off.enabled, off.available) == (False, True)
    assert await off.begin("ann", "s1") == Opening("s1")
    off.finish("ann", "s1", Turn.of("q", "a"))
    assert not await off.open_session("ann", "s1", username="", premium=False, kind="chat")
    assert (await off.preferences("ann"), await off.sessions("ann"), await off.forget("ann")) == (Preferences(), [], 0)


async def test_what_was_finished_before_closing_is_stored(open_store: OpenStore, server: RedisServer) -> None:
    first = await open_store()
    await first.begin("ann", "s1")
    for number in range(5):
        first.finish("ann", "s1", Turn.of(f"q{number}", "a" * 100_000))
    await first.close()
    assert await questions(await open_store()) == ["q2", "q3", "q4"]


async def test_scripts_the_server_forgot_are_sent_again(store: SessionStore, redis: Redis) -> None:
    await ask(store, 1)
    await redis.script_flush()
    await ask(store, 2)
    assert (await store.begin("ann", "s1")).stored
    assert await questions(store) == ["q1", "q2"]
