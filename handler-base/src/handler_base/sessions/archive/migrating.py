"""Bringing the database to the schema this code reads and writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.errors import InternalError
from handler_base.sessions.archive.addresses import Postgres, Sqlite
from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.schema import HEAD, REVISIONS, VERSION_TABLE, metadata

__all__ = ["Migration", "check_revision", "migrate", "stored_revision"]

_PATIENCE: Final = 600.0
"""Seconds a migration may take, with the wait for another replica that does the same."""

_LOCK: Final = 0x666C656574
"""PostgreSQL's advisory lock that one replica migrates under: "fleet" in ASCII."""

_FOLDER: Final = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done: the revision before ("" for an empty database), and after."""

    before: str
    after: str


async def stored_revision(database: Database) -> str:
    """Return the revision the database is at, "" for an empty one.

    Raises:
        UpstreamUnavailableError: The database cannot be reached.
        InternalError: The file is not a database, or the database does not store all of Unicode.
    """
    return await database.run("read", _check_encoding_and_read)


def check_revision(found: str) -> bool:
    """Whether the database is at the schema of this code; false when it needs a migration.

    Raises:
        InternalError: It is at one that this code does not know.
    """
    if found and found not in REVISIONS:
        raise InternalError(
            f"The archive is at revision {found}, newer than the {HEAD} this program knows: run a newer program."
        )
    return found == HEAD


async def migrate(target: Postgres | Sqlite, *, statement_timeout: timedelta) -> Migration:
    """Apply the revisions that are missing, all or none; replicas that do so at once wait for each other.

    It runs on a thread of its own: loading Alembic and changing tables would hold up everything else.

    Raises:
        InternalError: The database is at a revision this code does not know, or holds other tables of these names.
        UpstreamUnavailableError: The database cannot be reached.
    """
    return await asyncio.to_thread(asyncio.run, _migrate(target, statement_timeout))


async def _migrate(target: Postgres | Sqlite, statement_timeout: timedelta) -> Migration:
    database = Database(target, statement_timeout=statement_timeout)
    database.open(create=True)
    try:
        if database.is_sqlite:
            await database.use_write_ahead_log()
        return await database.run("migrate", _lock_and_upgrade, patience=_PATIENCE)
    finally:
        await database.close()


async def _check_encoding_and_read(connection: AsyncConnection) -> str:
    if connection.dialect.name != "sqlite":
        encoding = await connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise InternalError(f"The archive's database has the encoding {encoding}; it needs UTF8.")
    return await connection.run_sync(_revision)


async def _lock_and_upgrade(connection: AsyncConnection) -> Migration:
    if connection.dialect.name != "sqlite":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    return await connection.run_sync(_upgrade)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608 - ours
    # More than one: revisions that branched, which ours never do.
    return ",".join(found)


def _upgrade(connection: Connection) -> Migration:
    # Read under the lock: another replica may have been faster.
    before = _revision(connection)
    if check_revision(before):
        return Migration(before, before)
    tables = set(inspect(connection).get_table_names())
    if not before and tables & metadata.tables.keys():
        raise InternalError("The archive's database holds tables of other makers with the archive's names.")
    # Alembic is most of what a migration costs, and most starts have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return Migration(before, HEAD)
