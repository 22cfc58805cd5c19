"""Transactions on the archive's database.

Each is bounded in time, and ends in a result or in one of the fleet's errors.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions.archive.addresses import Postgres, Sqlite
from handler_base.sessions.archive.engines import Intent, driver_errors, postgres_engine, sqlite_engine
from handler_base.sessions.archive.failures import VALUE_ERRORS, to_error
from handler_base.sessions.archive.file_writer import FileWriter

__all__ = ["Database"]

Result = TypeVar("Result")

_CLOSED: Final = "The archive is not open."

_GRACE_SECONDS: Final = 2.0
"""What a transaction may take beyond its statements: to connect, to begin and to end."""


class Database:
    """The database behind an archive.

    Args:
        target: Which one.
        statement_timeout: Longest a statement may run, and a writer may wait for another.

    Attributes:
        available: Whether the last transaction reached it; true before the first.
    """

    def __init__(self, target: Postgres | Sqlite, *, statement_timeout: timedelta) -> None:
        self._target = target
        self._seconds = statement_timeout.total_seconds()
        self._engine: AsyncEngine | None = None
        self._writer: FileWriter | None = None
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error, OSError, *VALUE_ERRORS)
        self._one_writer = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
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
            self._writer = FileWriter(self._target, seconds=self._seconds)
        else:
            self._engine = postgres_engine(self._target, seconds=self._seconds)
            self._errors = (*self._errors, *driver_errors())

    async def close(self) -> None:
        """Close the connections, once what runs on them is done."""
        engine, self._engine = self._engine, None
        writer, self._writer = self._writer, None
        if self._running:
            await asyncio.wait(self._running)
        if writer is not None:
            await writer.close()
        if engine is not None:
            await engine.dispose()

    async def run(
        self, intent: Intent, work: Callable[[AsyncConnection], Awaitable[Result]], *, patience: float = 0.0
    ) -> Result:
        """Do some work in one transaction, that is committed at its end.

        Args:
            intent: What for.
            work: Is given the connection.
            patience: More seconds than usual that it may take.

        Returns:
            What the work returned.

        Raises:
            InvalidRequestError: The database refuses a row.
            UpstreamUnavailableError: It cannot be reached, or took too long; it may be tried again.
            InternalError: The file is not a database.
        """
        engine = self._engine
        if engine is None:
            raise UpstreamUnavailableError(_CLOSED)
        seconds = self._seconds + _GRACE_SECONDS + patience
        with self._errors_told():
            if self.is_sqlite:
                return await self._run_to_its_end(_in_file(engine, self._turn(intent), intent, work, seconds))
            return await _on_server(engine, intent, work, seconds)

    async def write_file(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do some writing to a file in one transaction, in another thread; see `run`, which takes longer."""
        writer = self._writer
        if writer is None:
            raise UpstreamUnavailableError(_CLOSED)
        with self._errors_told():
            return await self._run_to_its_end(self._in_turn(writer, work))

    async def _in_turn(self, writer: FileWriter, work: Callable[[sqlite3.Connection], Result]) -> Result:
        async with self._one_writer:
            return await writer.run(work, self._seconds + _GRACE_SECONDS)

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Raise what a database raises as one of the fleet's errors, and note whether it was reached."""
        try:
            yield
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
        await self.run("outside", lambda connection: connection.exec_driver_sql(statement))

    async def _run_to_its_end(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for some work; where the wait is cancelled, the work is not.

        A file's connection that is given up half way keeps its lock until somebody collects it.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._has_run)
        return await asyncio.shield(task)

    def _has_run(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, in case nobody waits for it any more.
            task.exception()

    def _turn(self, intent: Intent) -> AbstractAsyncContextManager[object]:
        """Wait for other writers of a file here, in order, rather than in SQLite, which has none."""
        return nullcontext() if intent == "read" else self._one_writer


async def _on_server(
    engine: AsyncEngine, intent: Intent, work: Callable[[AsyncConnection], Awaitable[Result]], seconds: float
) -> Result:
    async with asyncio.timeout(seconds), engine.connect() as connection:
        marked = await connection.execution_options(archive_intent=intent)
        async with marked.begin():
            return await work(marked)


async def _in_file(
    engine: AsyncEngine,
    turn: AbstractAsyncContextManager[object],
    intent: Intent,
    work: Callable[[AsyncConnection], Awaitable[Result]],
    seconds: float,
) -> Result:
    async with turn, engine.connect() as connection:
        marked = await connection.execution_options(archive_intent=intent)
        driver = (await marked.get_raw_connection()).driver_connection
        watch = asyncio.create_task(_interrupt_after(seconds, driver))
        try:
            async with marked.begin():
                return await work(marked)
        finally:
            watch.cancel()


async def _interrupt_after(seconds: float, driver: Any) -> None:  # noqa: ANN401 - aiosqlite's connection
    """End the statement that runs then: SQLite itself knows no limit."""
    await asyncio.sleep(seconds)
    await driver.interrupt()
