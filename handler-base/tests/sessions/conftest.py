from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from handler_base.sessions import QuotaLimits, SessionStore
from handler_base.testing.redis_server import RedisServer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
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


@asynccontextmanager
async def peer(serve: Serve, *, tls: ssl.SSLContext | None = None, path: str = "") -> AsyncIterator[int]:
    """A server that does as a test says, on a port or at a path."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # The test is over, or its link gave up.
        finally:
            writer.close()

    if path:
        server: asyncio.Server = await asyncio.start_unix_server(accept, path)
        yield 0
    else:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # The transports close in the next turn.
