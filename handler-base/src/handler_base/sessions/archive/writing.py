"""Storing messages, each once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Insert, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.sessions.archive.records import ArchivedMessage
from handler_base.sessions.archive.schema import LONGEST_TITLE, conversations, forgotten, messages
from handler_base.sessions.archive.texts import clean, fold

__all__ = ["FORGETTING", "hash_of", "insert_messages", "insert_or_update", "update_title"]

FORGETTING: Final = 0x666C656575
"""PostgreSQL's advisory lock that keeps storing and forgetting apart: shared by those who store."""

Row = dict[str, Any]
"""The columns of a row, as SQLAlchemy takes them."""


def hash_of(user_id: str) -> str:
    """Return what a forgotten user is known by."""
    return hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()


def insert_or_update(connection: AsyncConnection, table: Any) -> Any:  # noqa: ANN401 - the two dialects share no type
    """Return an INSERT of the connection's database, that can say what happens to a row that is there already."""
    # Each is loaded only where its database is used.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgres_insert  # noqa: PLC0415

    return postgres_insert(table)


async def insert_messages(connection: AsyncConnection, *, given: Iterable[ArchivedMessage]) -> set[str]:
    """Store the messages that are not there yet, and bring their conversations up to date.

    Rows are written in one order by everybody: two writers with the same messages wait for each other, and do not
    lock each other out.

    Returns:
        The ids of those that are new.
    """
    if connection.dialect.name != "sqlite":
        await connection.execute(select(func.pg_advisory_xact_lock_shared(FORGETTING)))
    remembered = await _leave_out_forgotten(connection, given)
    if not remembered:
        return set()
    rows = [_row(message) for message in sorted(remembered, key=lambda message: message.id)]
    insert: Insert = insert_or_update(connection, messages).on_conflict_do_nothing().returning(messages.c.id)
    new = set((await connection.execute(insert, rows)).scalars())
    await _move_back(connection, [row for row in rows if row["id"] not in new])
    touched = _conversations([row for row in rows if row["id"] in new])
    if touched:
        await connection.execute(_upsert_conversation(connection), touched)
    return new


async def _move_back(connection: AsyncConnection, rows: Iterable[Row]) -> None:
    """Put messages where they were said first: after a crash a later copy may have been stored before the original."""
    places = [{"the_id": row["id"], "place": row["position"]} for row in rows]
    if places:
        later = messages.c.id == bindparam("the_id"), messages.c.position > bindparam("place")
        await connection.execute(update(messages).where(*later).values(position=bindparam("place")), places)


async def update_title(connection: AsyncConnection, *, user_id: str, session_id: str, title: str) -> None:
    """Name a conversation."""
    named = conversations.c.user_id == clean(user_id), conversations.c.session_id == clean(session_id)
    await connection.execute(update(conversations).where(*named).values(title=clean(title).strip()[:LONGEST_TITLE]))


async def _leave_out_forgotten(
    connection: AsyncConnection, given: Iterable[ArchivedMessage]
) -> Sequence[ArchivedMessage]:
    given = list(given)
    hashes = {message.user_id: hash_of(message.user_id) for message in given if message.user_id}
    found = await connection.execute(select(forgotten).where(forgotten.c.user_hash.in_(sorted(hashes.values()))))
    since: dict[str, datetime] = {row.user_hash: row.forgotten_at for row in found}
    if not since:
        return given
    return [
        message
        for message in given
        if (moment := since.get(hashes.get(message.user_id, ""))) is None or message.created_at > moment
    ]


def _row(message: ArchivedMessage) -> Row:
    content = clean(message.content)
    return {
        "id": message.id,
        "user_id": message.user_id,
        "session_id": message.session_id,
        "role": message.role,
        "content": content,
        "folded": fold(content),
        "request_id": message.request_id,
        "position": message.position,
        "created_at": message.created_at,
        "kind": message.kind,
        "username": clean(message.username),
        "model": clean(message.model),
        "prompt_tokens": message.prompt_tokens,
        "completion_tokens": message.completion_tokens,
        "premium": message.premium,
        "status": clean(message.status),
        # SQLite keeps no number that is not one.
        "latency_ms": message.latency_ms if math.isfinite(message.latency_ms) else 0.0,
    }


def _conversations(rows: Iterable[Row]) -> list[Row]:
    """Return a row for each conversation of some messages, in the order everybody writes them."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row["user_id"], row["session_id"])
        known = found.setdefault(
            key,
            {
                "user_id": key[0],
                "session_id": key[1],
                "kind": row["kind"],
                "title": "",
                "started_at": row["created_at"],
                "last_activity": row["created_at"],
            },
        )
        known["kind"] = max(known["kind"], row["kind"])
        known["started_at"] = min(known["started_at"], row["created_at"])
        known["last_activity"] = max(known["last_activity"], row["created_at"])
    return [found[key] for key in sorted(found)]


def _upsert_conversation(connection: AsyncConnection) -> Insert:
    """Widen a conversation by a message, whichever order they come in: one spoken message makes it a voice one."""
    insert = insert_or_update(connection, conversations)
    new, old = insert.excluded, conversations.c
    upsert: Insert = insert.on_conflict_do_update(
        index_elements=[old.user_id, old.session_id],
        set_={
            "kind": case((new.kind > old.kind, new.kind), else_=old.kind),
            "started_at": case((new.started_at < old.started_at, new.started_at), else_=old.started_at),
            "last_activity": case((new.last_activity > old.last_activity, new.last_activity), else_=old.last_activity),
        },
    )
    return upsert
