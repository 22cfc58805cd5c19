"""Messages as rows of the tables.

A row is a tuple in the order of its table's columns. Rows are written by SQL of our own, since a batch costs several
times as much to write through a library that looks at each value.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from handler_base.sessions.archive.schema import conversations, messages
from handler_base.sessions.archive.texts import clean, fold
from handler_base.sessions.conversation import ChatMessage

__all__ = [
    "CONVERSATION_COLUMNS",
    "MESSAGE_COLUMNS",
    "Row",
    "conversation_rows",
    "file_moment",
    "hash_of",
    "hashes",
    "message_rows",
    "remembered",
    "server_moment",
]

Row = tuple[Any, ...]

MESSAGE_COLUMNS: Final = tuple(messages.columns.keys())
CONVERSATION_COLUMNS: Final = tuple(conversations.columns.keys())

_ID, _USER, _SESSION, _SAID, _KIND = (
    MESSAGE_COLUMNS.index(name) for name in ("id", "user_id", "session_id", "created_at", "kind")
)

_AT_A_STRETCH: Final = 0.005
"""Seconds after which others have their turn: long texts beyond ASCII take long to fold."""


def hash_of(user_id: str) -> str:
    """Return what a forgotten user is known by."""
    return hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()


def server_moment(moment: datetime) -> datetime:
    """Return a moment as PostgreSQL's driver takes it."""
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def file_moment(moment: datetime) -> str:
    """Return a moment as `schema.UtcDateTime` keeps it in a file."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(" ", "microseconds")[:-6]


async def message_rows(given: Iterable[ChatMessage], moment: Callable[[datetime], object]) -> list[Row]:
    """Return the rows of some messages, by id.

    Rows are written in one order by everybody: two writers with the same messages wait for each other, and do not
    lock each other out.

    Args:
        given: The messages.
        moment: Makes of a time what the database keeps.
    """
    rows: list[Row] = []
    since = time.perf_counter()
    for message in sorted(given, key=_id_of):
        rows.append(_row(message, moment))
        if time.perf_counter() - since > _AT_A_STRETCH:
            await asyncio.sleep(0)
            since = time.perf_counter()
    return rows


def hashes(rows: Iterable[Row]) -> list[str]:
    """Return what the users of some messages are known by once they are forgotten."""
    return sorted({hash_of(user) for user in {row[_USER] for row in rows}})


def remembered(rows: Sequence[Row], forgotten_since: dict[str, Any]) -> list[Row]:
    """Leave out what was said by users, known by their hashes, before they were forgotten."""
    return [row for row in rows if (moment := forgotten_since.get(hash_of(row[_USER]))) is None or row[_SAID] > moment]


def conversation_rows(rows: Iterable[Row]) -> list[Row]:
    """Return a row for each conversation of some messages, in the order everybody writes them."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        kind, moment = row[_KIND], row[_SAID]
        known = found.get((row[_USER], row[_SESSION]))
        if known is None:
            found[row[_USER], row[_SESSION]] = [kind, moment, moment]
            continue
        known[0] = max(known[0], kind)
        known[1] = min(known[1], moment)
        known[2] = max(known[2], moment)
    return [(*key, kind, "", first, last) for key, (kind, first, last) in sorted(found.items())]


def _id_of(message: ChatMessage) -> str:
    return message.id


def _row(message: ChatMessage, moment: Callable[[datetime], object]) -> Row:
    content = clean(message.content)
    return (
        message.id,
        message.user_id,
        message.session_id,
        message.role,
        content,
        fold(content),
        message.request_id,
        message.position,
        moment(message.created_at),
        message.kind,
        clean(message.username),
        clean(message.model),
        message.prompt_tokens,
        message.completion_tokens,
        message.premium,
        clean(message.status),
        # SQLite keeps no number that is not one.
        message.latency_ms if math.isfinite(message.latency_ms) else 0.0,
    )
