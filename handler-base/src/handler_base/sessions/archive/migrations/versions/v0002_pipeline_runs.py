"""Runs of pipelines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade"]

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pipeline_runs",
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("user_id", sa.String(128), nullable=True),
        sa.Column("parameters", sa.Text, nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.CheckConstraint("status IN ('pending', 'running', 'succeeded', 'failed')", name="ck_pipeline_runs_status"),
    )
    op.create_index("ix_pipeline_runs_submitted_at", "pipeline_runs", ["submitted_at"])
    op.create_index("ix_pipeline_runs_user", "pipeline_runs", ["user_id"])


def downgrade() -> None:
    """Drop the table, with what is in it."""
    op.drop_table("pipeline_runs")
