"""Database addresses as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from handler_base.errors import InvalidRequestError
from handler_base.sessions.archive.addresses import Postgres, Sqlite, parse_address


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "POSTGRESQL"]
)
def test_a_server(scheme: str) -> None:
    found = parse_address(f" {scheme}://ada:p%40ss@db:5433/archive?sslmode=require ")
    assert found == Postgres("postgresql://ada:p%40ss@db:5433/archive?sslmode=require")
    assert "ss@db" not in repr(found)


def test_what_only_libpq_knows_is_left_out() -> None:
    found = parse_address("postgres://db/archive?connect_timeout=3&sslmode=verify-full&channel_binding=require")
    assert found == Postgres("postgresql://db/archive?sslmode=verify-full")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite:////var/lib/archive.db", Path("/var/lib/archive.db")),
        ("sqlite+aiosqlite:////var/a%20b.db", Path("/var/a b.db")),
        ("sqlite:////var/archive.db?timeout=5", Path("/var/archive.db")),
        ("/var/lib/archive.db", Path("/var/lib/archive.db")),
        ("sqlite:///archive.db", Path.cwd() / "archive.db"),
        ("archive.db", Path.cwd() / "archive.db"),
        ("~/archive.db", Path.home() / "archive.db"),
    ],
)
def test_a_file(address: str, path: Path) -> None:
    assert parse_address(address) == Sqlite(path)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite://archive.db",
        "sqlite:///:memory:",
        ":memory:",
        "file:archive.db",
        "mysql://ada:hunter2@db/archive",
        "postgresql://ada:hunter2@[db/archive",
    ],
)
def test_what_is_none_is_refused_without_telling_a_password(address: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse_address(address)
    assert "hunter2" not in f"{raised.value} {raised.value.__cause__} {raised.value.__suppress_context__ or ''}"
