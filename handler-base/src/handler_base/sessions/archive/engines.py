"""SQLAlchemy's engines for the two databases, with what each needs to be told on every connection."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.sessions.archive.addresses import Postgres, Sqlite

if TYPE_CHECKING:
    import asyncpg  # type: ignore[import-untyped]

__all__ = ["Intent", "driver_errors", "file_uri", "postgres_engine", "prepare_sqlite", "sqlite_engine"]

Intent = Literal["read", "write", "migrate", "outside"]
"""What a transaction is for; "outside" is none at all."""

_CONNECT_SECONDS: Final = 5.0

_OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""

_SQLITE_BEGIN: Final[dict[str, str]] = {"read": "BEGIN", "write": "BEGIN IMMEDIATE", "migrate": "BEGIN EXCLUSIVE"}


def driver_errors() -> tuple[type[Exception], ...]:
    """Return what asyncpg raises where SQLAlchemy does not wrap it."""
    # Loaded here: an archive in a file does not need it.
    import asyncpg  # noqa: PLC0415

    return (asyncpg.PostgresError, asyncpg.InterfaceError)


def file_uri(target: Sqlite) -> str:
    """Return how SQLite is told of a file whose name may hold anything."""
    return f"file:{quote(str(target.path))}"


def prepare_sqlite(connection: Any) -> None:  # noqa: ANN401 - Python's driver, or SQLAlchemy's adapter of it
    """Tell a new connection what it has to keep to."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    # What is acknowledged must outlast a power cut; and what is deleted must not stay in the file.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def sqlite_engine(target: Sqlite, *, seconds: float, create: bool) -> AsyncEngine:
    """Make an engine for a file.

    Args:
        target: Which file.
        seconds: Longest wait for another process that writes.
        create: Make the file where there is none.

    Raises:
        InternalError: The file, or its folder, is not there or may not be written to, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise InternalError(f"The archive needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}.")
    _check_file(target.path, create=create)
    url = URL.create(
        "sqlite+aiosqlite",
        database=file_uri(target),
        query={"uri": "true", "mode": "rwc" if create else "rw"},
    )
    engine = create_async_engine(
        url,
        pool_size=3,
        max_overflow=0,
        pool_timeout=seconds,
        connect_args={"timeout": seconds, "isolation_level": None},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _sqlite_connected)
    event.listen(engine.sync_engine, "begin", _sqlite_begins)
    return engine


def postgres_engine(target: Postgres, *, seconds: float) -> AsyncEngine:
    """Make an engine for a server, which need not be there yet.

    Args:
        target: Which database.
        seconds: Longest a statement may run.
    """

    async def connect() -> asyncpg.Connection:
        import asyncpg  # noqa: PLC0415 - loaded here: an archive in a file does not need it

        try:
            # asyncpg reads the address itself: it knows more of what may stand there than SQLAlchemy.
            return await asyncpg.connect(
                target.dsn,
                timeout=_CONNECT_SECONDS,
                command_timeout=seconds + 1,
                server_settings={"application_name": "fleet-archive"},
            )
        except ValueError:
            raise InvalidRequestError("The archive's address cannot be read.") from None

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=4,
        max_overflow=0,
        pool_timeout=seconds,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "begin", partial(_postgres_begins, milliseconds=int(seconds * 1000)))
    return engine


def _check_file(path: Path, *, create: bool) -> None:
    """Say what is wrong with a path: SQLite itself says the same of everything."""
    if not os.access(path.parent, os.X_OK):
        raise InternalError(f"The archive's folder is not there, or may not be entered: {path.parent}.")
    if path.exists():
        if not path.is_file() or not os.access(path, os.W_OK):
            raise InternalError(f"The archive is not a file that may be written to: {path}.")
    elif not create:
        raise InternalError(f"There is no archive at {path}: run `python -m handler_base.sessions.archive` first.")
    elif not os.access(path.parent, os.W_OK):
        raise InternalError(f"The archive's folder may not be written to: {path.parent}.")


def _sqlite_connected(connection: Any, _: ConnectionPoolEntry) -> None:  # noqa: ANN401 - SQLAlchemy's adapted driver
    prepare_sqlite(connection)


def _sqlite_begins(connection: Connection) -> None:
    # Python's driver begins no transaction of its own here. A writer begins as one: SQLite refuses, without waiting,
    # to make one of a reader that another writer has overtaken.
    begin = _SQLITE_BEGIN.get(_intent(connection))
    if begin is not None:
        connection.exec_driver_sql(begin)


def _postgres_begins(connection: Connection, milliseconds: int) -> None:
    # Within the transaction: a setting of the connection would leak through a pooler such as PgBouncer.
    if _intent(connection) == "migrate":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
    else:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")


def _intent(connection: Connection) -> str:
    intent: str = connection.get_execution_options().get("archive_intent", "read")
    return intent
