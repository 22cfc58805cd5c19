"""A PostgreSQL for the whole session, and archives on it and in files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest

from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage
from handler_base.testing.postgres_server import PostgresServer

MakeMessage = Callable[..., ChatMessage]


_TEMPLATE = "with_tables"
_SHARED = "emptied"

# A tenth of what a database of its own takes. Who is still connected may not come in between.
_EMPTY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    TRUNCATE messages, conversations, forgotten_users, pipeline_runs
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that tests may not stop; those that do make one of their own."""
    try:
        server = PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with server:
        asyncio.run(_make_template(server))
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with empty tables."""
    path = tmp_path_factory.mktemp("archive") / "template.db"
    asyncio.run(_make_tables(str(path)))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with empty tables, that are to stay: the same test for both databases."""
    if request.param == "sqlite":
        return _file(request, tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.database_url(_SHARED)
    asyncio.run(_execute(url, _EMPTY))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def altered_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database of its own with empty tables, to do anything with."""
    return _file(request, tmp_path) if request.param == "sqlite" else _database(request, f"TEMPLATE {_TEMPLATE}")


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database of its own without tables, or of a file that is not there."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    return _database(request, "")


@pytest.fixture
def latin_url(request: pytest.FixtureRequest) -> str:
    """The address of a database that keeps no more than Latin-1."""
    return _database(request, "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")


def _file(request: pytest.FixtureRequest, folder: Path) -> str:
    path = folder / "archive.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


def _database(request: pytest.FixtureRequest, options: str) -> str:
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"a{uuid4().hex}"
    asyncio.run(_execute(server.url, f"CREATE DATABASE {name} {options}"))
    request.addfinalizer(lambda: asyncio.run(_execute(server.url, f"DROP DATABASE {name} WITH (FORCE)")))
    return server.database_url(name)


async def _make_template(server: PostgresServer) -> None:
    await _execute(server.url, f"CREATE DATABASE {_TEMPLATE}")
    await _make_tables(server.database_url(_TEMPLATE))
    await _execute(server.url, f"CREATE DATABASE {_SHARED} TEMPLATE {_TEMPLATE}")


async def _make_tables(url: str) -> None:
    archive = Archive(url)
    await archive.open()
    await archive.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def archive(archive_url: str) -> AsyncIterator[Archive]:
    """An archive that is open and empty."""
    made = Archive(archive_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture(scope="session")
def at() -> Callable[[float], datetime]:
    """Makes a moment some minutes after noon of one day."""
    return lambda minutes: datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(minutes=minutes)


@pytest.fixture(scope="session")
def message(at: Callable[[float], datetime]) -> MakeMessage:
    """Makes the message at a position: questions at even ones, answers at odd ones."""

    def make(position: int, **changes: Any) -> ChatMessage:  # noqa: ANN401 - the fields of a message
        asked = position % 2 == 0
        fields: dict[str, Any] = {
            "user_id": "ada",
            "session_id": "s1",
            "role": "user" if asked else "assistant",
            "content": f"question {position}" if asked else f"answer {position}",
            "request_id": f"r{position // 2}",
            "position": position,
            "created_at": at(position),
            "kind": "chat",
            "username": "Ada" if asked else "",
            "model": "" if asked else "small",
            "prompt_tokens": 0 if asked else 10,
            "completion_tokens": 0 if asked else 3,
            "latency_ms": 0.0 if asked else 12.5,
        } | changes
        return ChatMessage(**{"id": f"{fields['user_id']}/{position}"} | fields)

    return make
