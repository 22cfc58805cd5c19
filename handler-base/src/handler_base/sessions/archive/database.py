"""Transactions on the archive's database.

Each is bounded in time, and ends in a result or in one of the fleet's errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions.archive.addresses import Sqlite, parse_address
from handler_base.sessions.archive.engines import Intent, driver_errors, postgres_engine, sqlite_engine
from handler_base.sessions.archive.failures import VALUE_ERRORS, to_error

__all__ = ["Database"]

_GRACE_SECONDS: Final = 2.0
"""What a transaction may take beyond its statements: to connect, to begin and to end."""


class Database:
    """The database behind an archive.

    Args:
        address: As `parse_address` reads it.
        statement_timeout: Longest a statement may run, and a writer may wait for another.

    Attributes:
        available: Whether the last transaction reached it; true before the first.
    """

    def __init__(self, address: str, *, statement_timeout: timedelta) -> None:
        self._target = parse_address(address)
        self._seconds = statement_timeout.total_seconds()
        self._engine: AsyncEngine | None = None
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *VALUE_ERRORS)
        self._one_writer = asyncio.Lock()
        self.available = True

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file rather than a server."""
        return isinstance(self._target, Sqlite)

    def open(self, *, create: bool = False) -> None:
        """Make ready for transactions; a server need not be there yet.

        Args:
            create: Make the file where there is none.

        Raises:
            InternalError: The file, or its folder, is not there, or SQLite is too old.
        """
        if self._engine is not None:
            return
        if isinstance(self._target, Sqlite):
            self._engine = sqlite_engine(self._target, seconds=self._seconds, create=create)
        else:
            self._engine = postgres_engine(self._target, seconds=self._seconds)
            self._errors = (*self._errors, *driver_errors())

    async def close(self) -> None:
        """Close the connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def transaction(self, intent: Intent = "read", *, patience: float = 0.0) -> AsyncIterator[AsyncConnection]:
        """Run statements in one transaction, that is committed at the end of the block.

        Args:
            intent: What for.
            patience: More seconds than usual that it may take.

        Raises:
            InvalidRequestError: The database refuses a row.
            UpstreamUnavailableError: It cannot be reached, or took too long; it may be tried again.
            InternalError: The file is not a database.
        """
        engine = self._engine
        if engine is None:
            raise UpstreamUnavailableError("The archive is not open.")
        try:
            async with (
                asyncio.timeout(self._seconds + _GRACE_SECONDS + patience),
                self._turn(intent),
                engine.connect() as connection,
            ):
                marked = await connection.execution_options(archive_intent=intent)
                async with marked.begin():
                    yield marked
        except self._errors as error:
            raised = to_error(error)
            self.available = not isinstance(raised, UpstreamUnavailableError)
            raise raised from None
        self.available = True

    async def use_write_ahead_log(self) -> None:
        """Let those who read the file not wait for who writes it.

        Raises:
            UpstreamUnavailableError: The file stayed locked.
        """
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                await self._outside("PRAGMA journal_mode=WAL")
            except UpstreamUnavailableError:
                # Another process does the same, and for this lock SQLite itself does not wait.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)
            else:
                return

    async def truncate_write_ahead_log(self) -> None:
        """Empty the log beside the file, where deleted text can still be read; one that is being read stays."""
        await self._outside("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _outside(self, statement: str) -> None:
        """Run what SQLite runs only outside a transaction."""
        async with self.transaction("outside") as connection:
            await connection.exec_driver_sql(statement)

    def _turn(self, intent: Intent) -> AbstractAsyncContextManager[object]:
        """Wait for other writers of a file here, in order, rather than in SQLite, which has none."""
        return self._one_writer if self.is_sqlite and intent != "read" else nullcontext()
