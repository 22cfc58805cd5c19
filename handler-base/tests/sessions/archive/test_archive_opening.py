"""What an archive finds when it is opened, and what it makes of it."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import handler_base.sessions.archive.migrations as migrations_package
from handler_base.errors import InternalError
from handler_base.sessions.archive import Archive, migrating
from handler_base.sessions.archive.__main__ import main
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.database import Database
from handler_base.sessions.archive.schema import HEAD, REVISIONS, VERSION_TABLE, metadata
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]

_SCRIPTS = Path(migrations_package.__path__[0])


async def _run(url: str, what: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - whatever it returns
    database = Database(parse_address(url), statement_timeout=timedelta(seconds=5))
    database.open(create=True)
    try:
        return await database.run("migrate", lambda connection: connection.run_sync(what))
    finally:
        await database.close()


def _set_revision(revision: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(
        text(f"UPDATE {VERSION_TABLE} SET version_num = :revision"),  # noqa: S608 - the name of our own table
        {"revision": revision},
    )


async def test_archives_opened_at_once_on_an_empty_database(bare_url: str, message: MakeMessage) -> None:
    archives = [Archive(bare_url) for _ in range(4)]
    await asyncio.gather(*(archive.open() for archive in archives))
    new = await asyncio.gather(*(archive.store([message(0)]) for archive in archives))
    assert sorted(map(len, new)) == [0, 0, 0, 1]
    for archive in archives:
        await archive.close()


async def test_opening_twice_and_again_after_closing(archive_url: str, message: MakeMessage) -> None:
    archive = Archive(archive_url)
    await asyncio.gather(archive.open(), archive.open())
    await archive.store([message(0)])
    await archive.close()
    await archive.close()
    await archive.open(migrate=False)
    assert await archive.messages("ada", "s1") == [message(0)]
    await archive.close()


async def test_the_tables_are_what_the_migrations_make(archive_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await _run(archive_url, differences) == []


async def test_migrations_can_be_undone(altered_url: str) -> None:
    def undo(connection: Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return inspect(connection).get_table_names()

    assert await _run(altered_url, undo) == [VERSION_TABLE]
    archive = Archive(altered_url)
    await archive.open()
    assert await archive.conversations() == []
    await archive.close()


def test_the_revisions_the_code_knows_are_those_there_are() -> None:
    scripts = list(ScriptDirectory(str(_SCRIPTS)).walk_revisions())
    assert tuple(script.revision for script in reversed(scripts)) == REVISIONS
    assert REVISIONS[-1] == HEAD


async def test_tables_newer_than_the_program(altered_url: str) -> None:
    await _run(altered_url, _set_revision("9999"))
    for migrate in (True, False):
        with pytest.raises(InternalError, match="revision 9999, newer than"):
            await Archive(altered_url).open(migrate=migrate)


async def test_tables_older_than_the_program(altered_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await _run(altered_url, _set_revision("0000"))
    monkeypatch.setattr(migrating, "REVISIONS", ("0000", *REVISIONS))
    with pytest.raises(InternalError, match=r"at revision 0000, .*`python -m handler_base\.sessions\.archive"):
        await Archive(altered_url).open(migrate=False)


async def test_an_empty_database_is_not_touched_unasked(bare_url: str) -> None:
    with pytest.raises(InternalError, match=r"python -m handler_base\.sessions\.archive"):
        await Archive(bare_url).open(migrate=False)
    assert await _run(bare_url, lambda connection: inspect(connection).get_table_names()) == []


async def test_tables_of_somebody_else_are_left_alone(bare_url: str) -> None:
    await _run(bare_url, lambda connection: connection.execute(text("CREATE TABLE messages (theirs integer)")))
    with pytest.raises(InternalError, match="other makers"):
        await Archive(bare_url).open()
    assert await _run(bare_url, lambda connection: inspect(connection).get_table_names()) == ["messages"]


def test_the_command_migrates_and_says_so(
    bare_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_URL", bare_url)
    assert main([]) == 0
    assert capsys.readouterr().out == f"The archive went from nothing to revision {HEAD}.\n"
    assert main([bare_url]) == 0
    assert capsys.readouterr().out == f"The archive is at revision {HEAD}: nothing to do.\n"
    assert main(["mysql://user:hunter2@host/name"]) == 1
    told = capsys.readouterr().err
    assert "postgresql://" in told
    assert "hunter2" not in told


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"folder is not there.*nowhere"):
        await Archive(f"sqlite:///{tmp_path}/nowhere/archive.db").open()


async def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="not a file"):
        await Archive(str(tmp_path)).open()


async def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    path.write_bytes(b"not a database " * 500)
    with pytest.raises(InternalError, match="not a SQLite database"):
        await Archive(str(path)).open()


@pytest.fixture
def not_root() -> Iterator[Path]:
    """A folder of root's, or one that is read-only, while this process is somebody else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "there.db").touch(mode=stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        path.chmod(0o555)
        me, nobody = os.geteuid(), pwd.getpwnam("nobody").pw_uid
        if me == 0:
            os.setresuid(nobody, nobody, 0)
        yield path
        if me == 0:
            os.setresuid(0, 0, 0)
        path.chmod(0o755)


@pytest.mark.parametrize("name", ["there.db", "new.db"])
async def test_a_place_that_may_not_be_written_to(not_root: Path, name: str) -> None:
    with pytest.raises(InternalError, match="be written to"):
        await Archive(str(not_root / name)).open()


async def test_a_sqlite_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(InternalError, match=r"needs SQLite 3\.35"):
        await Archive(str(tmp_path / "archive.db")).open()


async def test_a_postgresql_that_keeps_no_unicode(latin_url: str) -> None:
    with pytest.raises(InternalError, match="encoding LATIN1"):
        await Archive(latin_url).open()


def _loaded(code: str, *names: str) -> list[str]:
    """Return which modules are loaded in a new Python after some code."""
    told = f"{code}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    loaded: list[str] = eval(done.stdout)  # noqa: S307 - what the line above prints
    return loaded


def test_sessions_without_an_archive_do_not_load_a_database() -> None:
    assert _loaded("import handler_base.sessions", "sqlalchemy", "alembic", "asyncpg", "aiosqlite") == []


def test_an_archive_loads_its_own_driver_and_migrations_only_to_migrate(archive_url: str) -> None:
    code = f"import asyncio, handler_base.sessions.archive as a; asyncio.run(a.Archive({archive_url!r}).open())"
    driver = "asyncpg" if archive_url.startswith("postgresql") else "aiosqlite"
    assert _loaded(code, "alembic", "asyncpg", "aiosqlite") == [driver]
