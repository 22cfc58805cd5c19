"""Reading the archive."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Date, RowMapping, Select, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.sessions.archive.records import StoredConversation, UsageRow
from handler_base.sessions.archive.schema import conversations, messages
from handler_base.sessions.archive.texts import clean, fold
from handler_base.sessions.conversation import ChatMessage

__all__ = [
    "read_conversations",
    "read_identifiers",
    "read_known",
    "read_messages",
    "read_untitled",
    "read_usage",
    "search_messages",
]

_MESSAGE = [messages.c[name] for name in ChatMessage.__struct_fields__]

_OF_CONVERSATION = (
    messages.c.user_id == conversations.c.user_id,
    messages.c.session_id == conversations.c.session_id,
)


async def read_conversations(connection: AsyncConnection, *, user_id: str, limit: int) -> list[StoredConversation]:
    """Return the newest conversations, of one user or of all."""
    count = select(func.count()).select_from(messages).where(*_OF_CONVERSATION).scalar_subquery()
    query = select(conversations, count.label("messages")).order_by(
        conversations.c.last_activity.desc(), conversations.c.user_id, conversations.c.session_id
    )
    if user_id:
        query = query.where(conversations.c.user_id == clean(user_id))
    found = await connection.execute(query.limit(limit))
    return [StoredConversation(**row) for row in found.mappings()]


async def read_messages(connection: AsyncConnection, *, user_id: str, session_id: str, limit: int) -> list[ChatMessage]:
    """Return the last messages of one conversation, in order."""
    of_it = messages.c.user_id == clean(user_id), messages.c.session_id == clean(session_id)
    newest_first = messages.c.position.desc(), messages.c.created_at.desc(), messages.c.id.desc()
    found = await connection.execute(select(*_MESSAGE).where(*of_it).order_by(*newest_first).limit(limit))
    return [_message(row) for row in found.mappings()][::-1]


async def read_known(connection: AsyncConnection, *, ids: Collection[str]) -> set[str]:
    """Return which of some messages are there."""
    return set((await connection.execute(select(messages.c.id).where(messages.c.id.in_(ids)))).scalars())


async def search_messages(
    connection: AsyncConnection, *, text: str, user_id: str, session_id: str, limit: int
) -> list[ChatMessage]:
    """Return the newest messages that hold a text, in whichever case."""
    query = select(*_MESSAGE).where(messages.c.folded.contains(fold(clean(text)), autoescape=True))
    if user_id:
        query = query.where(messages.c.user_id == clean(user_id))
    if session_id:
        query = query.where(messages.c.session_id == clean(session_id))
    newest_first = messages.c.created_at.desc(), messages.c.position.desc(), messages.c.id.desc()
    found = await connection.execute(query.order_by(*newest_first).limit(limit))
    return [_message(row) for row in found.mappings()]


async def read_usage(connection: AsyncConnection, *, user_id: str, since: datetime) -> list[UsageRow]:
    """Return what was asked and answered, by day and user: questions by their own day, tokens by the answer's."""
    day = _day(connection.dialect.name).label("day")
    asked = messages.c.role == "user"
    query: Select[Any] = (
        select(
            day,
            messages.c.user_id,
            func.sum(case((asked, 1), else_=0)).label("requests"),
            func.sum(messages.c.prompt_tokens).label("prompt_tokens"),
            func.sum(messages.c.completion_tokens).label("completion_tokens"),
            func.sum(case((asked & messages.c.premium, 1), else_=0)).label("premium_requests"),
        )
        .where(messages.c.created_at >= since)
        .group_by(day, messages.c.user_id)
        .order_by(day, messages.c.user_id)
    )
    if user_id:
        query = query.where(messages.c.user_id == clean(user_id))
    return [
        UsageRow(when, who, *(int(number) for number in numbers))
        for when, who, *numbers in await connection.execute(query)
    ]


async def read_untitled(connection: AsyncConnection, *, limit: int) -> list[tuple[str, str, str, str]]:
    """Return conversations that have an answer and no title, newest first, each with its first question and answer."""
    question, answer = _first("user"), _first("assistant")
    query = (
        select(conversations.c.user_id, conversations.c.session_id, question, answer)
        .where(conversations.c.title == "", question.is_not(None), answer.is_not(None))
        .order_by(conversations.c.last_activity.desc())
        .limit(limit)
    )
    return [(user, session, asked, said) for user, session, asked, said in await connection.execute(query)]


async def read_identifiers(connection: AsyncConnection, *, user_id: str) -> tuple[set[str], set[str]]:
    """Return the ids of the requests and of the sessions of a user."""
    who = clean(user_id)
    requests = select(messages.c.request_id).distinct().where(messages.c.user_id == who, messages.c.request_id != "")
    sessions = select(conversations.c.session_id).where(conversations.c.user_id == who)
    return set((await connection.execute(requests)).scalars()), set((await connection.execute(sessions)).scalars())


def _first(role: str) -> ColumnElement[str]:
    return (
        select(messages.c.content)
        .where(*_OF_CONVERSATION, messages.c.role == role, messages.c.content != "")
        .order_by(messages.c.position, messages.c.created_at, messages.c.id)
        .limit(1)
        .scalar_subquery()
    )


def _day(dialect: str) -> ColumnElement[Any]:
    if dialect == "sqlite":
        return func.date(messages.c.created_at, type_=Date)
    return cast(func.timezone("UTC", messages.c.created_at), Date)


def _message(row: RowMapping) -> ChatMessage:
    return ChatMessage(**row)
