"""The archive: every conversation, as long as it is kept, and every run of a pipeline, for good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.deleting import delete_older, forget_user
from handler_base.sessions.archive.migrating import check_revision, migrate, stored_revision
from handler_base.sessions.archive.queries import (
    read_conversations,
    read_identifiers,
    read_known,
    read_messages,
    read_untitled,
    read_usage,
    search_messages,
)
from handler_base.sessions.archive.records import StoredConversation, UsageRow
from handler_base.sessions.archive.rows import file_moment, message_rows, server_moment
from handler_base.sessions.archive.runs import PipelineRun, read_runs, write_run
from handler_base.sessions.archive.schema import HEAD
from handler_base.sessions.archive.writing import update_title, write_to_file, write_to_server
from handler_base.sessions.conversation import ChatMessage

__all__ = ["Archive"]

log = logging.getLogger(__name__)

_MAX_LIMIT: Final = 10_000


class Archive:
    """Conversations and runs of pipelines in PostgreSQL, or in a SQLite file.

    Every method raises `UpstreamUnavailableError` when the database is away or took too long; the same call may then be
    made again, and works again once the database does.

    Args:
        url: ``postgresql://...``, ``sqlite:///path``, or the path of a file.
        statement_timeout: Longest a statement may run.
    """

    def __init__(self, url: str, *, statement_timeout: timedelta = timedelta(seconds=10)) -> None:
        self._target = parse_address(url)
        self._statement_timeout = statement_timeout
        self._database = Database(self._target, statement_timeout=statement_timeout)
        self._opening = asyncio.Lock()
        self._is_open = False

    @property
    def available(self) -> bool:
        """Whether the database was reached when it was last called; true before the first call."""
        return self._database.available

    async def open(self, *, migrate: bool = True) -> None:
        """Connect, and bring the tables to what this program knows; an open archive stays as it is.

        Args:
            migrate: Make or change the tables where that is needed; false checks them only.

        Raises:
            InternalError: The tables are newer than this program, older and not to be changed, or the file or its
                folder cannot be used.
            InvalidRequestError: The address cannot be read.
            UpstreamUnavailableError: The database cannot be reached.
        """
        async with self._opening:
            if self._is_open:
                return
            try:
                await self._check_or_migrate(migrate)
            except BaseException:
                await self._database.close()
                raise
            self._is_open = True

    async def close(self) -> None:
        """Close the connections."""
        async with self._opening:
            self._is_open = False
            await self._database.close()

    async def store(self, messages: Sequence[ChatMessage]) -> list[str]:
        """Store messages in one transaction: all that are not there yet, or none.

        What a forgotten user said before being forgotten is left out.

        Returns:
            The ids of those that are new, in the order given.

        Raises:
            InvalidRequestError: The database refuses one of the rows.
            UpstreamUnavailableError: The database is away. Whether they are stored is not known: store them again.
        """
        by_id = {message.id: message for message in reversed(messages)}
        if not by_id:
            return []
        if self._database.is_sqlite:
            rows = await message_rows(by_id.values(), file_moment)
            new = await self._database.write_file(partial(write_to_file, rows=rows))
        else:
            rows = await message_rows(by_id.values(), server_moment)
            new = await self._database.run("write", partial(write_to_server, rows=rows))
        return [identity for identity in dict.fromkeys(message.id for message in messages) if identity in new]

    async def known(self, ids: Collection[str]) -> set[str]:
        """Return which of some messages are stored."""
        return await self._database.run("read", partial(read_known, ids=ids))

    async def store_run(self, run: PipelineRun) -> None:
        """Store what is told of a run, beside what is known of it; in any order, and again without effect.

        Raises:
            InvalidRequestError: The database refuses the row.
            UpstreamUnavailableError: The database is away. Whether it is stored is not known: store it again.
        """
        await self._database.run("write", partial(write_run, run=run))

    async def runs(
        self, *, request_id: str = "", pipeline: str = "", status: str = "", limit: int = 50
    ) -> list[PipelineRun]:
        """Return runs of pipelines, newest first: of one request, of one pipeline, with one status, or all."""
        chosen = partial(read_runs, request_id=request_id, pipeline=pipeline, status=status, limit=_checked(limit))
        return await self._database.run("read", chosen)

    async def conversations(self, *, user_id: str = "", limit: int = 50) -> list[StoredConversation]:
        """Return the conversations of a user, or of all, by last activity, newest first."""
        return await self._database.run("read", partial(read_conversations, user_id=user_id, limit=_checked(limit)))

    async def messages(self, user_id: str, session_id: str, *, limit: int = 1000) -> list[ChatMessage]:
        """Return the last messages of a conversation, in order."""
        return await self._database.run(
            "read", partial(read_messages, user_id=user_id, session_id=session_id, limit=_checked(limit))
        )

    async def search(self, text: str, *, user_id: str = "", session_id: str = "", limit: int = 50) -> list[ChatMessage]:
        """Return the messages that hold a text, whatever its case, newest first."""
        return await self._database.run(
            "read", partial(search_messages, text=text, user_id=user_id, session_id=session_id, limit=_checked(limit))
        )

    async def usage(self, *, user_id: str = "", since: datetime) -> list[UsageRow]:
        """Return what a user, or each, used since a moment, by day."""
        return await self._database.run("read", partial(read_usage, user_id=user_id, since=_aware(since)))

    async def untitled(self, limit: int) -> list[tuple[str, str, str, str]]:
        """Return conversations that are answered and have no title: user, session, first question and first answer."""
        return await self._database.run("read", partial(read_untitled, limit=_checked(limit)))

    async def set_title(self, user_id: str, session_id: str, title: str) -> None:
        """Name a conversation; one that is not there is passed over."""
        naming = partial(update_title, user_id=user_id, session_id=session_id, title=title)
        await self._database.run("write", naming)

    async def identifiers(self, user_id: str) -> tuple[set[str], set[str]]:
        """Return the ids of the requests and of the sessions of a user."""
        return await self._database.run("read", partial(read_identifiers, user_id=user_id))

    async def expire(self, before: datetime) -> int:
        """Delete messages from before a moment, and the conversations that leaves empty. Runs stay.

        Returns:
            How many messages.
        """
        return await delete_older(self._database, _aware(before))

    async def forget(self, user_id: str, at: datetime) -> int:
        """Delete all a user said, and was told, up to a moment, and let nothing of it in for a day.

        Runs that the user triggered stay, without the user's id and the parameters.

        Returns:
            How many messages.

        Raises:
            InvalidRequestError: No user is named.
        """
        if not user_id:
            raise InvalidRequestError("Nobody is named to be forgotten.")
        return await forget_user(self._database, user_id, _aware(at))

    async def _check_or_migrate(self, may_migrate: bool) -> None:
        self._database.open(create=may_migrate)
        found = await stored_revision(self._database)
        if check_revision(found):
            return
        if not may_migrate:
            state = f"at revision {found}, and needs {HEAD}" if found else "empty"
            raise InternalError(f"The archive is {state}: run `python -m handler_base.sessions.archive` first.")
        done = await migrate(self._target, statement_timeout=self._statement_timeout)
        log.info("the archive's tables are ready", extra={"before": done.before, "after": done.after})


def _checked(limit: int) -> int:
    if not 1 <= limit <= _MAX_LIMIT:
        raise InvalidRequestError(f"The limit is 1 to {_MAX_LIMIT}.")
    return limit


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidRequestError("A time needs a time zone.")
    return moment
