from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from handler_base.sessions import QuotaLimits, SessionStore
from handler_base.testing.redis_server import RedisServer

OpenStore = Callable[..., Awaitable[SessionStore]]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    """The same store, seen by somebody else."""
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def open_store(server: RedisServer) -> AsyncIterator[OpenStore]:
    opened: list[SessionStore] = []

    async def new(
        *, url: str | None = None, most_turns: int = 3, timeout: float = 2, limits: QuotaLimits | None = None
    ) -> SessionStore:
        # A generous time limit unless a test is about it: the machine may be busy.
        store = SessionStore(
            server.url if url is None else url,
            ttl=timedelta(days=7),
            most_turns=most_turns,
            timeout=timedelta(seconds=timeout),
            limits=limits or QuotaLimits(),
        )
        await store.open()
        opened.append(store)
        return store

    yield new
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> SessionStore:
    return await open_store()
