"""Storing messages, each once, and titles.

What happens to a row is the same in both databases. A file is written in one thread, by statements that are made ready
once; a server is given the columns of a batch in as many statements as there are tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.sessions.archive.rows import (
    CONVERSATION_COLUMNS,
    MESSAGE_COLUMNS,
    Row,
    conversation_rows,
    hashes,
    remembered,
)
from handler_base.sessions.archive.schema import LONGEST_TITLE, conversations
from handler_base.sessions.archive.texts import clean

__all__ = ["FORGETTING", "insert_or_update", "update_title", "write_to_file", "write_to_server"]

FORGETTING: Final = 0x666C656575
"""PostgreSQL's advisory lock that keeps storing and forgetting apart: shared by those who store."""

_ID, _POSITION = MESSAGE_COLUMNS.index("id"), MESSAGE_COLUMNS.index("position")

_MESSAGES: Final = f"INSERT INTO messages ({', '.join(MESSAGE_COLUMNS)})"
_CONVERSATIONS: Final = f"INSERT INTO conversations ({', '.join(CONVERSATION_COLUMNS)})"

_WIDEN: Final = """
    ON CONFLICT (user_id, session_id) DO UPDATE SET
        kind = CASE WHEN excluded.kind > conversations.kind THEN excluded.kind ELSE conversations.kind END,
        started_at = CASE WHEN excluded.started_at < conversations.started_at
            THEN excluded.started_at ELSE conversations.started_at END,
        last_activity = CASE WHEN excluded.last_activity > conversations.last_activity
            THEN excluded.last_activity ELSE conversations.last_activity END
"""
"""A conversation grows by a message, whichever order they come in: one spoken message makes it a voice one."""

_FILE_FORGOTTEN: Final = """
    SELECT user_hash, forgotten_at FROM forgotten_users WHERE user_hash IN (SELECT value FROM json_each(?))
"""
_FILE_KNOWN: Final = "SELECT id, position FROM messages WHERE id IN (SELECT value FROM json_each(?))"
_FILE_MOVE: Final = "UPDATE messages SET position = ? WHERE id = ?"
_FILE_MESSAGES: Final = f"{_MESSAGES} VALUES ({', '.join('?' * len(MESSAGE_COLUMNS))})"
_FILE_CONVERSATIONS: Final = f"{_CONVERSATIONS} VALUES ({', '.join('?' * len(CONVERSATION_COLUMNS))}) {_WIDEN}"

_SERVER_TYPES: Final = {
    "position": "bigint",
    "created_at": "timestamptz",
    "started_at": "timestamptz",
    "last_activity": "timestamptz",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "premium": "boolean",
    "latency_ms": "float8",
}
"""Types of the columns that are not text."""


def _columns(names: Iterable[str]) -> str:
    arrays = (f"${number}::{_SERVER_TYPES.get(name, 'text')}[]" for number, name in enumerate(names, start=1))
    return f"SELECT * FROM unnest({', '.join(arrays)})"  # noqa: S608 - names of our own columns


_SERVER_FORGOTTEN: Final = "SELECT user_hash, forgotten_at FROM forgotten_users WHERE user_hash = ANY($1)"
_SERVER_MESSAGES: Final = f"{_MESSAGES} {_columns(MESSAGE_COLUMNS)} ON CONFLICT DO NOTHING RETURNING id"
_SERVER_CONVERSATIONS: Final = f"{_CONVERSATIONS} {_columns(CONVERSATION_COLUMNS)} {_WIDEN}"
_SERVER_MOVE: Final = """
    UPDATE messages SET position = given.position FROM unnest($1::text[], $2::bigint[]) AS given (id, position)
    WHERE messages.id = given.id AND messages.position > given.position
"""


def write_to_file(connection: sqlite3.Connection, *, rows: Sequence[Row]) -> set[str]:
    """Store the messages that are not there yet, and bring their conversations up to date.

    Args:
        connection: The only one that writes, until the end of its transaction.
        rows: Of the messages, as `rows.message_rows` makes them.

    Returns:
        The ids of those that are new.
    """
    forgotten_since = dict(connection.execute(_FILE_FORGOTTEN, (json.dumps(hashes(rows)),)).fetchall())
    if forgotten_since:
        rows = remembered(rows, forgotten_since)
    known = dict(connection.execute(_FILE_KNOWN, (json.dumps([row[_ID] for row in rows]),)).fetchall())
    new = rows
    if known:
        new = [row for row in rows if row[_ID] not in known]
        # After a crash a later copy may have been stored before the original: it belongs where it was said first.
        earlier = [(row[_POSITION], row[_ID]) for row in rows if row[_POSITION] < known.get(row[_ID], 0)]
        connection.executemany(_FILE_MOVE, earlier)
    connection.executemany(_FILE_MESSAGES, new)
    connection.executemany(_FILE_CONVERSATIONS, conversation_rows(new))
    return {row[_ID] for row in new}


async def write_to_server(connection: AsyncConnection, *, rows: Sequence[Row]) -> set[str]:
    """Store messages on a server; see `write_to_file`."""
    await connection.execute(select(func.pg_advisory_xact_lock_shared(FORGETTING)))
    found = (await connection.exec_driver_sql(_SERVER_FORGOTTEN, (hashes(rows),))).all()
    if found:
        forgotten_since = {row.user_hash: row.forgotten_at for row in found}
        rows = remembered(rows, forgotten_since)
    if not rows:
        return set()
    new = set((await connection.exec_driver_sql(_SERVER_MESSAGES, tuple(zip(*rows, strict=True)))).scalars())
    if len(new) < len(rows):
        known = [row for row in rows if row[_ID] not in new]
        earlier = [row[_ID] for row in known], [row[_POSITION] for row in known]
        await connection.exec_driver_sql(_SERVER_MOVE, earlier)
    touched = conversation_rows(row for row in rows if row[_ID] in new)
    if touched:
        await connection.exec_driver_sql(_SERVER_CONVERSATIONS, tuple(zip(*touched, strict=True)))
    return new


def insert_or_update(connection: AsyncConnection, table: Any) -> Any:  # noqa: ANN401 - the two dialects share no type
    """Return an INSERT of the connection's database, that can say what happens to a row that is there already."""
    # Each is loaded only where its database is used.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgres_insert  # noqa: PLC0415

    return postgres_insert(table)


async def update_title(connection: AsyncConnection, *, user_id: str, session_id: str, title: str) -> None:
    """Name a conversation."""
    named = conversations.c.user_id == clean(user_id), conversations.c.session_id == clean(session_id)
    await connection.execute(update(conversations).where(*named).values(title=clean(title).strip()[:LONGEST_TITLE]))
