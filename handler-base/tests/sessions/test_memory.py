from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from handler_base.sessions import ConversationMemory, Turn
from handler_base.testing.redis_server import RedisServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as running:
        yield running


def memory_on(url: str, *, most_turns: int = 3) -> ConversationMemory:
    return ConversationMemory(url, ttl=timedelta(days=7), most_turns=most_turns, timeout=timedelta(milliseconds=50))


@pytest.fixture
async def memory(server: RedisServer) -> AsyncIterator[ConversationMemory]:
    opened = memory_on(server.url)
    await opened.open()
    yield opened
    await opened.close()


async def test_turns_come_back_in_order(memory: ConversationMemory) -> None:
    for number in range(2):
        assert await memory.append("ann", "s1", Turn(f"q{number}", f"a{number}"))
    assert await memory.load("ann", "s1") == [Turn("q0", "a0"), Turn("q1", "a1")]


async def test_only_the_last_turns_are_kept(memory: ConversationMemory) -> None:
    for number in range(5):
        await memory.append("ann", "s1", Turn(f"q{number}", "a"))
    assert [turn.question for turn in await memory.load("ann", "s1")] == ["q2", "q3", "q4"]


async def test_a_session_id_of_another_user_is_another_conversation(memory: ConversationMemory) -> None:
    await memory.append("ann", "s1", Turn("secret", "a"))
    assert await memory.load("bob", "s1") == []


async def test_a_conversation_lives_seven_days_from_its_last_turn(
    memory: ConversationMemory, server: RedisServer
) -> None:
    await memory.append("ann", "s1", Turn("q", "a"))
    async with Redis.from_url(server.url) as redis:
        assert 7 * 86400 - 5 <= await redis.ttl("fleet:conversation:ann:s1") <= 7 * 86400


async def test_without_a_session_nothing_is_kept(memory: ConversationMemory) -> None:
    assert not await memory.append("ann", "", Turn("q", "a"))
    assert await memory.load("ann", "") == []


async def test_a_login_is_noted_with_its_life(memory: ConversationMemory, server: RedisServer) -> None:
    assert await memory.open_session("ann", username="Ann", premium=True)
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        noted = await redis.hgetall("fleet:session:ann")
        assert (noted["username"], noted["premium"]) == ("Ann", "1")
        assert await redis.ttl("fleet:session:ann") > 6 * 86400


async def test_a_hanging_store_costs_its_time_limit_once(memory: ConversationMemory, server: RedisServer) -> None:
    await memory.append("ann", "s1", Turn("q", "a"))
    server.pause()
    try:
        began = time.monotonic()
        assert await memory.load("ann", "s1") == []
        assert not memory.available
        for _ in range(100):
            await memory.load("ann", "s1")
        assert time.monotonic() - began < 0.5
    finally:
        server.resume()


async def test_memory_comes_back_after_a_restart(
    memory: ConversationMemory, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.kill()
    assert not await memory.append("ann", "s1", Turn("q", "a"))
    assert not await memory.open_session("ann")
    await server.start()
    later = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert memory.available
    assert await memory.append("ann", "s1", Turn("q", "a"))


async def test_a_key_of_the_wrong_type_is_survived(memory: ConversationMemory, server: RedisServer) -> None:
    async with Redis.from_url(server.url) as redis:
        await redis.set("fleet:conversation:ann:s1", "not a list")
    assert await memory.load("ann", "s1") == []


async def test_a_turn_nobody_can_read_is_survived(memory: ConversationMemory, server: RedisServer) -> None:
    async with Redis.from_url(server.url) as redis:
        await redis.lpush("fleet:conversation:ann:s1", b"\xc1")
    assert await memory.load("ann", "s1") == []


async def test_a_full_store_does_not_stop_the_answer(memory: ConversationMemory, server: RedisServer) -> None:
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("maxmemory", "1")
    assert not await memory.append("ann", "s1", Turn("q", "a"))


@pytest.mark.parametrize(("url", "most_turns"), [("", 3), ("redis://localhost:1", 0)])
async def test_memory_can_be_turned_off(url: str, most_turns: int) -> None:
    off = memory_on(url, most_turns=most_turns)
    await off.open()
    assert not off.enabled
    assert not await off.append("ann", "s1", Turn("q", "a"))
    assert await off.load("ann", "s1") == []
    await off.close()
