"""Conversations, their messages, and who was forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade"]

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables."""
    _make_conversations()
    _make_messages()
    op.create_table(
        "forgotten_users",
        sa.Column("user_hash", sa.String(64), primary_key=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop the tables, with what is in them."""
    op.drop_table("forgotten_users")
    op.drop_table("messages")
    op.drop_table("conversations")


def _make_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("user_id", sa.String(128), primary_key=True),
        sa.Column("session_id", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_activity", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_conversations_last_activity", "conversations", ["last_activity"])
    op.create_index(
        "ix_conversations_untitled",
        "conversations",
        ["last_activity"],
        postgresql_where=sa.text("title = ''"),
        sqlite_where=sa.text("title = ''"),
    )


def _make_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("session_id", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("premium", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="ck_messages_role"),
        sa.ForeignKeyConstraint(
            ["user_id", "session_id"],
            ["conversations.user_id", "conversations.session_id"],
            name="fk_messages_conversation",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index("ix_messages_conversation", "messages", ["user_id", "session_id", "position"])
    op.create_index("ix_messages_created_at", "messages", ["created_at"])
