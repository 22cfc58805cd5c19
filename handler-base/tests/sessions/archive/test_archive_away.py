"""A database that stops, hangs, is locked, and comes back: errors in between, and everything works again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions.archive import Archive, database
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.rows import message_rows, server_moment
from handler_base.sessions.archive.writing import write_to_server
from handler_base.sessions.conversation import ChatMessage
from handler_base.testing.postgres_server import PostgresServer
from handler_base.testing.waiting import wait_until

MakeMessage = Callable[..., ChatMessage]

_SHORT = timedelta(seconds=0.4)


def _available(archive: Archive) -> bool:
    # A function of its own: a property that changes between two lines is beyond a type checker.
    return archive.available


@pytest.fixture(scope="module")
def stopped_server() -> Iterator[PostgresServer]:
    """A server to be ill-treated, that is made once."""
    try:
        made = PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with made:
        made.stop()
        yield made


@pytest.fixture
def server(stopped_server: PostgresServer) -> Iterator[PostgresServer]:
    """The same with nothing in it; not started."""
    yield stopped_server
    stopped_server.stop()
    stopped_server.start()
    asyncio.run(_empty(stopped_server.url))
    stopped_server.stop()


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


@pytest.fixture
async def on_server(server: PostgresServer) -> AsyncIterator[Archive]:
    """An archive on the test's own server, that gives up soon."""
    await server.start_async()
    archive = Archive(server.url, statement_timeout=_SHORT)
    await archive.open()
    yield archive
    await archive.close()


async def test_a_server_that_is_not_there_yet(server: PostgresServer, message: MakeMessage) -> None:
    archive = Archive(server.url)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await archive.open()
    assert not _available(archive)
    with pytest.raises(UpstreamUnavailableError):
        await archive.store([message(0)])
    await server.start_async()
    await archive.open()
    assert await archive.store([message(0)]) == [message(0).id]
    assert _available(archive)
    await archive.close()


async def test_a_server_that_restarts(server: PostgresServer, on_server: Archive, message: MakeMessage) -> None:
    await on_server.store([message(0)])
    server.stop()
    for call in (on_server.store([message(1)]), on_server.conversations(), on_server.store([message(1)])):
        with pytest.raises(UpstreamUnavailableError):
            await call
    assert not _available(on_server)
    await server.start_async()
    assert await on_server.store([message(1)]) == [message(1).id]
    assert _available(on_server)
    # Restarted behind its back: connections that are kept are found dead before they are used.
    server.kill()
    await server.start_async()
    assert await on_server.messages("ada", "s1") == [message(0), message(1)]


async def test_a_server_that_ends_within_a_transaction(
    server: PostgresServer, on_server: Archive, message: MakeMessage
) -> None:
    opened = Database(parse_address(server.url), statement_timeout=_SHORT)
    opened.open()

    async def store_and_lose_the_server(connection: AsyncConnection) -> None:
        await write_to_server(connection, rows=await message_rows([message(0)], server_moment))
        server.kill()

    with pytest.raises(UpstreamUnavailableError):
        await opened.run("write", store_and_lose_the_server)
    await server.start_async()
    assert await on_server.messages("ada", "s1") == []
    assert await on_server.store([message(0)]) == [message(0).id]
    await opened.close()


async def test_a_server_that_hangs(server: PostgresServer, on_server: Archive, message: MakeMessage) -> None:
    await on_server.store([message(0)])
    server.freeze()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(UpstreamUnavailableError):
            await on_server.store([message(1)])
        assert time.monotonic() - started < 6
    server.thaw()
    assert await on_server.store([message(1)]) == [message(1).id]


async def test_a_lock_that_is_held_too_long(server: PostgresServer, on_server: Archive, message: MakeMessage) -> None:
    holder = await asyncpg.connect(server.url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("LOCK TABLE messages")
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailableError):
        await on_server.store([message(0)])
    assert time.monotonic() - started < 2
    await transaction.rollback()
    await holder.close()
    assert await on_server.store([message(0)]) == [message(0).id]


async def test_connections_that_are_ended_under_load(
    server: PostgresServer, on_server: Archive, message: MakeMessage
) -> None:
    given = [message(position) for position in range(400)]

    async def store_until_done(start: int) -> None:
        while True:
            with contextlib.suppress(UpstreamUnavailableError):
                await on_server.store(given[start : start + 10])
                return

    killer = await asyncpg.connect(server.url)
    storing = asyncio.gather(*(store_until_done(start) for start in range(0, 400, 10)))
    for _ in range(10):
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fleet-archive'"
        )
        await asyncio.sleep(0.02)
    await storing
    await killer.close()
    assert await on_server.messages("ada", "s1") == given


async def test_a_statement_that_does_not_end(archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_GRACE_SECONDS", 0.3)
    opened = Database(parse_address(archive_url), statement_timeout=timedelta(seconds=0.1))
    opened.open()
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i % 9 + 1 FROM n) SELECT count(*) FROM n")
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailableError):
        await opened.run("read", lambda connection: connection.execute(endless))
    assert time.monotonic() - started < 5
    assert await opened.run("read", lambda connection: connection.scalar(text("SELECT 1"))) == 1
    await opened.close()


async def test_a_call_that_is_cancelled_leaves_nothing_behind(archive: Archive, message: MakeMessage) -> None:
    for turn in range(20):
        storing = asyncio.create_task(archive.store([message(position) for position in range(300)]))
        await asyncio.sleep(turn / 1000)
        storing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await storing
    await archive.store([message(position) for position in range(300)])
    assert len(await archive.messages("ada", "s1")) == 300


async def test_a_file_another_process_writes_to(sqlite_template: Path, message: MakeMessage, tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    await asyncio.to_thread(lambda: path.write_bytes(sqlite_template.read_bytes()))
    archive = Archive(str(path), statement_timeout=_SHORT)
    await archive.open()
    await archive.store([message(0)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UpstreamUnavailableError):
        await archive.store([message(1)])
    assert await archive.messages("ada", "s1") == [message(0)]
    storing = asyncio.create_task(archive.store([message(1)]))
    other.execute("COMMIT")
    other.close()
    await wait_until(storing.done)
    assert await storing == [message(1).id]
    await archive.close()


async def test_an_archive_that_is_closed(archive: Archive, message: MakeMessage) -> None:
    await archive.close()
    with pytest.raises(UpstreamUnavailableError):
        await archive.store([message(0)])
    with pytest.raises(UpstreamUnavailableError):
        await archive.conversations()


async def test_a_password_is_never_told(caplog: pytest.LogCaptureFixture) -> None:
    archive = Archive("postgresql://ada:hunter2@127.0.0.1:1/archive")
    with pytest.raises(UpstreamUnavailableError) as raised:
        await archive.open()
    assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r} {archive!r} {vars(archive)!r} {caplog.text}"
