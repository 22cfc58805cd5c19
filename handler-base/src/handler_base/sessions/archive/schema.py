"""The tables of the archive.

A change here needs a revision in ``migrations/versions`` that makes the same change, and `HEAD` moved to it: a test
holds the two together.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

from handler_base.sessions.conversation import LONGEST_ID, LONGEST_MESSAGE_ID

__all__ = [
    "HEAD",
    "LONGEST_TITLE",
    "REVISIONS",
    "VERSION_TABLE",
    "UtcDateTime",
    "conversations",
    "forgotten",
    "messages",
    "metadata",
    "pipeline_runs",
]

REVISIONS: Final = ("0001", "0002")
"""Every revision of the schema this code knows, oldest first. Kept here so that Alembic is loaded only to migrate."""

HEAD: Final = REVISIONS[-1]
"""The revision this code reads and writes."""

VERSION_TABLE: Final = "archive_version"
"""Where Alembic notes the revision: not its usual table, so that other migrations can share the database."""

LONGEST_TITLE: Final = 200


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always with its time zone in Python and always UTC in the database.

    PostgreSQL has a type for it; SQLite keeps text that sorts by time, and no time zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what the driver takes."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("user_id", String(LONGEST_ID), primary_key=True),
    Column("session_id", String(LONGEST_ID), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("title", String(LONGEST_TITLE), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_activity", UtcDateTime, nullable=False),
    Index("ix_conversations_last_activity", "last_activity"),
    # Small: a conversation is in it only until it has its title.
    Index(
        "ix_conversations_untitled",
        "last_activity",
        postgresql_where=text("title = ''"),
        sqlite_where=text("title = ''"),
    ),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(LONGEST_MESSAGE_ID), primary_key=True),
    Column("user_id", String(LONGEST_ID), nullable=False),
    Column("session_id", String(LONGEST_ID), nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    # The content with upper and lower case made one, by Python: a database folds only what its locale knows.
    Column("folded", Text, nullable=False),
    Column("request_id", String(LONGEST_ID), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("username", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("premium", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("latency_ms", Float, nullable=False),
    CheckConstraint("role IN ('user', 'assistant')", name="ck_messages_role"),
    # Deferred: messages go in first, so that only the conversations of new ones are touched.
    ForeignKeyConstraint(
        ["user_id", "session_id"],
        ["conversations.user_id", "conversations.session_id"],
        name="fk_messages_conversation",
        deferrable=True,
        initially="DEFERRED",
    ),
    Index("ix_messages_conversation", "user_id", "session_id", "position"),
    Index("ix_messages_created_at", "created_at"),
)

forgotten = Table(
    "forgotten_users",
    metadata,
    # A hash: the id itself is what was to be forgotten.
    Column("user_hash", String(64), primary_key=True),
    Column("forgotten_at", UtcDateTime, nullable=False),
)
"""Users whose data was deleted; what still comes in from before that moment is left out."""

pipeline_runs = Table(
    "pipeline_runs",
    metadata,
    Column("request_id", String(LONGEST_ID), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("engine", Text, nullable=False),
    # Of these two nothing is what was not told yet, and empty what is not to be told any more: a forgotten user's.
    Column("user_id", String(LONGEST_ID), nullable=True),
    Column("parameters", Text, nullable=True),
    Column("status", String(16), nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=True),
    Column("finished_at", UtcDateTime, nullable=True),
    Column("error", Text, nullable=False),
    CheckConstraint("status IN ('pending', 'running', 'succeeded', 'failed')", name="ck_pipeline_runs_status"),
    Index("ix_pipeline_runs_submitted_at", "submitted_at"),
    Index("ix_pipeline_runs_user", "user_id"),
)
"""Runs of pipelines, kept for good; `parameters` is JSON."""
