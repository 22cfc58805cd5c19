"""Transactions on a SQLite file of which each is one visit to another thread.

A batch takes several statements. Each of them as a visit of its own, there and back, would cost more than what it does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from handler_base.sessions.archive.addresses import Sqlite
from handler_base.sessions.archive.engines import file_uri, prepare_sqlite

__all__ = ["FileWriter"]

Result = TypeVar("Result")


class FileWriter:
    """A connection that only writes; made when it is first used, and anew after every error.

    Args:
        target: Which file; it is there.
        seconds: Longest wait for another process that writes.
    """

    def __init__(self, target: Sqlite, *, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive")

    async def run(self, work: Callable[[sqlite3.Connection], Result], seconds: float) -> Result:
        """Do some work in one transaction, that is committed at its end.

        Not to be cancelled: the work goes on.

        Args:
            work: Is given the connection, in the thread.
            seconds: Longest it may take; the statement that runs then is ended.
        """
        loop = asyncio.get_running_loop()
        watch = loop.call_later(seconds, self._interrupt)
        try:
            return await loop.run_in_executor(self._thread, self._transaction, work)
        finally:
            watch.cancel()

    async def close(self) -> None:
        """Close the connection, and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            # Which undoes the transaction, whatever state it is in.
            self._drop()
            raise
        return result

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{file_uri(self._target)}?mode=rw",
            uri=True,
            timeout=self._seconds,
            isolation_level=None,
            # It is used in one thread only, save that it is interrupted from another.
            check_same_thread=False,
        )
        try:
            prepare_sqlite(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _interrupt(self) -> None:
        connection = self._connection
        if connection is not None:
            # It may have been closed just now, there.
            with suppress(sqlite3.ProgrammingError):
                connection.interrupt()
