"""A user who is forgotten leaves nothing, on either database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from handler_base.errors import InvalidRequestError
from handler_base.sessions.archive import Archive
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.database import Database
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]
At = Callable[[float], datetime]


async def test_a_forgotten_user_leaves_nothing_and_others_stay(archive: Archive, message: MakeMessage, at: At) -> None:
    await archive.store([message(position, session_id=f"s{position % 3}") for position in range(1500)])
    await archive.store([message(0, user_id="bob")])
    assert await archive.forget("ada", at(1500)) == 1500
    assert await archive.identifiers("ada") == (set(), set())
    assert [found.user_id for found in await archive.conversations()] == ["bob"]
    assert await archive.forget("ada", at(1500)) == 0


async def test_what_was_said_before_stays_out_and_what_is_said_after_comes_in(
    archive: Archive, message: MakeMessage, at: At
) -> None:
    await archive.forget("ada", at(2))
    given = [message(position) for position in range(5)] + [message(0, user_id="bob")]
    assert await archive.store(given) == ["ada/3", "ada/4", "bob/0"]
    assert await archive.store([message(2, session_id="other")]) == []
    assert [found.session_id for found in await archive.conversations(user_id="ada")] == ["s1"]
    # The later of two moments counts, whichever comes first.
    await archive.forget("ada", at(1))
    assert await archive.store([message(2)]) == []


async def test_a_conversation_that_goes_on_begins_anew(archive: Archive, message: MakeMessage, at: At) -> None:
    await archive.store([message(position) for position in range(4)])
    await archive.store([message(10, session_id="later")])
    for session in ("s1", "later"):
        await archive.set_title("ada", session, "My secret")
    assert await archive.forget("ada", at(1)) == 2
    found = {each.session_id: each for each in await archive.conversations()}
    assert (found["s1"].title, found["s1"].started_at, found["s1"].messages) == ("", at(2), 2)
    assert found["later"].title == "My secret"


async def test_who_was_forgotten_is_known_by_a_hash_for_a_day(
    archive: Archive, archive_url: str, message: MakeMessage
) -> None:
    now = datetime.now(UTC)
    await archive.forget("ada", now)
    await archive.forget("bob", now - timedelta(days=2))
    database = Database(parse_address(archive_url), statement_timeout=timedelta(seconds=5))
    database.open()
    found = await database.run("read", lambda connection: connection.execute(text("SELECT * FROM forgotten_users")))
    rows = found.all()
    await database.close()
    assert "ada" not in str(rows)
    assert await archive.expire(now - timedelta(days=30)) == 0
    before = now - timedelta(days=3)
    assert await archive.store([message(0, created_at=before), message(1, user_id="bob", created_at=before)]) == [
        "bob/1"
    ]


async def test_nobody_is_not_somebody(archive: Archive, at: At) -> None:
    with pytest.raises(InvalidRequestError):
        await archive.forget("", at(0))


async def test_forgetting_while_others_store_lets_nothing_through(
    archive: Archive, message: MakeMessage, at: At
) -> None:
    given = [message(position, session_id=f"s{position % 5}") for position in range(120)]

    async def store_all() -> None:
        for start in range(0, 120, 10):
            await archive.store(given[start : start + 10])

    storing = [asyncio.create_task(store_all()) for _ in range(2)]
    await archive.store(given[:10])
    await archive.forget("ada", at(1000))
    await asyncio.gather(*storing)
    assert await archive.conversations() == []
    assert await archive.search("question") == []


async def test_a_file_does_not_keep_what_was_forgotten(
    sqlite_template: Path, message: MakeMessage, at: At, tmp_path: Path
) -> None:
    path = Path(shutil.copy(sqlite_template, tmp_path / "archive.db"))
    archive = Archive(str(path))
    await archive.open()
    await archive.store([message(position, content=f"the word mistletoe {position}") for position in range(50)])
    await archive.set_title("ada", "s1", "About mistletoe")
    assert b"mistletoe" in _bytes_beside(path)
    await archive.forget("ada", at(100))
    assert b"mistletoe" not in _bytes_beside(path)
    await archive.close()


def _bytes_beside(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
