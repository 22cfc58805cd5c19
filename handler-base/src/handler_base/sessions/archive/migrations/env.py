"""Run by Alembic: applies revisions on the connection it was given."""

from __future__ import annotations

from alembic import context

from handler_base.errors import InternalError
from handler_base.sessions.archive.schema import VERSION_TABLE, metadata

__all__: list[str] = []


def run() -> None:
    """Apply what is missing, in the transaction of the connection."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise InternalError("The archive is migrated by `python -m handler_base.sessions.archive`.")
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


run()
