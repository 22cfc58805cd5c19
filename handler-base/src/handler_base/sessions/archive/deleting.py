"""Deleting what has been kept long enough, and what a user wants forgotten.

In batches, each a transaction of its own: no statement runs long, and nobody waits long.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.rows import hash_of
from handler_base.sessions.archive.runs import forget_in_runs
from handler_base.sessions.archive.schema import conversations, forgotten, messages
from handler_base.sessions.archive.writing import FORGETTING, insert_or_update

__all__ = ["delete_older", "forget_user"]

_BATCH: Final = 1000

_FORGOTTEN_FOR: Final = timedelta(days=1)
"""How long it is kept in mind who was forgotten: longer than anything said before is still on its way."""

_HAS_MESSAGES: Final = exists().where(
    messages.c.user_id == conversations.c.user_id, messages.c.session_id == conversations.c.session_id
)


async def delete_older(database: Database, before: datetime) -> int:
    """Delete messages from before a moment, conversations left without any, and old notes of who was forgotten.

    Returns:
        How many messages.
    """
    deleted = await _delete_messages(database, messages.c.created_at < before, all_of_them=False)
    while await database.run("write", partial(_delete_empty, which=conversations.c.last_activity < before)):
        pass
    old = delete(forgotten).where(forgotten.c.forgotten_at < datetime.now(UTC) - _FORGOTTEN_FOR)
    await database.run("write", lambda connection: connection.execute(old))
    return deleted


async def forget_user(database: Database, user_id: str, at: datetime) -> int:
    """Delete what a user said, and was told, up to a moment; and let nothing of it in any more.

    Runs that the user triggered stay, and tell no more who it was or with what.

    Stopped half way, it is to be called again.

    Returns:
        How many messages.
    """
    await database.run("write", partial(_note, user_id=user_id, at=at))
    said = and_(messages.c.user_id == user_id, messages.c.created_at <= at)
    deleted = await _delete_messages(database, said, all_of_them=True)
    while await database.run("write", partial(_delete_empty, which=conversations.c.user_id == user_id)):
        pass
    await database.run("write", partial(forget_in_runs, user_id=user_id, at=at))
    await database.run("write", partial(_begin_anew, user_id=user_id, at=at))
    if database.is_sqlite:
        await database.truncate_write_ahead_log()
    return deleted


async def _note(connection: AsyncConnection, *, user_id: str, at: datetime) -> None:
    """Note who is forgotten."""
    await _alone(connection)
    insert = insert_or_update(connection, forgotten)
    new, old = insert.excluded, forgotten.c
    later = case((new.forgotten_at > old.forgotten_at, new.forgotten_at), else_=old.forgotten_at)
    upsert = insert.on_conflict_do_update(index_elements=[old.user_hash], set_={"forgotten_at": later})
    await connection.execute(upsert, {"user_hash": hash_of(user_id), "forgotten_at": at})


async def _alone(connection: AsyncConnection) -> None:
    """Wait for everybody who stores something, and have them wait until the end of the transaction."""
    if connection.dialect.name != "sqlite":
        await connection.execute(select(func.pg_advisory_xact_lock(FORGETTING)))


async def _delete_messages(database: Database, which: ColumnElement[bool], *, all_of_them: bool) -> int:
    # What somebody else is deleting just now may be left to them, or waited for in case they do not.
    batch = (
        select(messages.c.id)
        .where(which)
        .order_by(messages.c.id)
        .limit(_BATCH)
        .with_for_update(skip_locked=not all_of_them)
    )
    deleted = 0
    while True:
        count = await database.run("write", partial(_delete_batch, batch=batch))
        deleted += count
        if count < _BATCH:
            return deleted


async def _delete_batch(connection: AsyncConnection, *, batch: Select[Any]) -> int:
    ids = (await connection.execute(batch)).scalars().all()
    if ids:
        await connection.execute(delete(messages).where(messages.c.id.in_(ids)))
    return len(ids)


async def _delete_empty(connection: AsyncConnection, *, which: ColumnElement[bool]) -> bool:
    """Delete some conversations without messages.

    Returns:
        Whether there may be more.
    """
    # First locked, then looked at again: a message that came in meanwhile keeps its conversation.
    batch = (
        select(conversations.c.user_id, conversations.c.session_id)
        .where(which, ~_HAS_MESSAGES)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    keys = [(user_id, session_id) for user_id, session_id in await connection.execute(batch)]
    if keys:
        key = tuple_(conversations.c.user_id, conversations.c.session_id)
        await connection.execute(delete(conversations).where(key.in_(keys), ~_HAS_MESSAGES))
    return len(keys) == _BATCH


async def _begin_anew(connection: AsyncConnection, *, user_id: str, at: datetime) -> None:
    """Let a conversation that goes on begin with what is left of it: its title may quote what is gone."""
    await _alone(connection)
    first = (
        select(func.min(messages.c.created_at))
        .where(messages.c.user_id == conversations.c.user_id, messages.c.session_id == conversations.c.session_id)
        .scalar_subquery()
    )
    shortened = (conversations.c.user_id == user_id, conversations.c.started_at <= at, _HAS_MESSAGES)
    await connection.execute(update(conversations).where(*shortened).values(title="", started_at=first))
