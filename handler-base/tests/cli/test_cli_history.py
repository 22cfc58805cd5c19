"""`fleet history` and `fleet usage`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handler_base.cli.history import marked
from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage, Role
from handler_base.testing.nats_server import free_port

from .conftest import Fleet

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def message(
    number: int,
    content: str,
    *,
    user: str = "ann",
    session: str = "s-1",
    role: Role = "user",
    **fields: Any,  # noqa: ANN401 - of the record
) -> ChatMessage:
    at = NOON + timedelta(seconds=number)
    identity, request = f"{user}/{session}/{number}", f"r-{number}"
    return ChatMessage(identity, user, session, role, content, request, number, at, "chat", **fields)


@pytest.fixture
async def archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """An archive with something in it, where the command looks for it."""
    monkeypatch.setenv("ARCHIVE_URL", f"sqlite:///{folder}/archive.db")
    archive = Archive(f"sqlite:///{folder}/archive.db")
    await archive.open()
    answer: dict[str, Any] = {"role": "assistant", "model": "big", "prompt_tokens": 100, "completion_tokens": 10}
    await archive.store(
        [
            message(1, "How long is a Straße?", premium=True),
            message(2, "As long as\nit is \x1b[31mred.", **answer),
            message(3, "Why?"),
            message(4, "Beca", status="cancelled", **answer),
            message(5, "Where is the pump?", session="s-2"),
            message(6, "Is 100% of it here?", user="bob", session="s-2"),
            message(7, "x" * 300 + " needle " + "y" * 300, user="bob", session="s-3"),
        ]
    )
    await archive.set_title("ann", "s-1", "Streets and their length")
    yield archive
    await archive.close()


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def shown(number: int) -> str:
    return f"{NOON + timedelta(seconds=number):%Y-%m-%d %H:%M:%S}"


async def test_conversations_are_listed_newest_first(offline: Fleet, archive: Archive) -> None:
    del archive
    run = await offline("history")
    assert run.code == 0, run.err
    lines = [line for line in run.out.splitlines() if "s-" in line]
    assert ["bob" in line for line in lines] == [True, True, False, False]
    assert all(part in lines[3] for part in (shown(4), "ann", "s-1", "Streets and their length", "4"))
    assert [row["session_id"] for row in rows((await offline("history", "--json", "-n", "1")).out)] == ["s-3"]


async def test_the_conversations_of_a_user_as_json(offline: Fleet, archive: Archive) -> None:
    del archive
    found = rows((await offline("history", "--user", "ann", "--json")).out)
    assert [row["session_id"] for row in found] == ["s-2", "s-1"]
    assert found[1] == {
        "user_id": "ann",
        "session_id": "s-1",
        "kind": "chat",
        "title": "Streets and their length",
        "started_at": f"{NOON + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.000Z",
        "last_activity": f"{NOON + timedelta(seconds=4):%Y-%m-%dT%H:%M:%S}.000Z",
        "messages": 4,
    }


async def test_a_conversation_is_a_dialogue(offline: Fleet, archive: Archive) -> None:
    del archive
    run = await offline("history", "--session", "s-1")
    assert run.out.splitlines() == [
        f"{shown(1)}  ann",
        "    How long is a Straße?",
        f"{shown(2)}  assistant (big)",
        "    As long as",
        "    it is [31mred.",
        f"{shown(3)}  ann",
        "    Why?",
        f"{shown(4)}  assistant (big, cancelled)",
        "    Beca",
    ]
    found = rows((await offline("history", "--session", "s-1", "--json", "-n", "2")).out)
    assert [(row["role"], row["content"]) for row in found] == [("user", "Why?"), ("assistant", "Beca")]


async def test_a_session_of_several_users_needs_one(offline: Fleet, archive: Archive) -> None:
    del archive
    run = await offline("history", "--session", "s-2")
    assert run.code == 2
    assert run.err == "fleet: Several users have a conversation s-2; --user says whose.\n"
    run = await offline("history", "--session", "s-2", "--user", "bob")
    assert "Is 100% of it here?" in run.out
    assert "pump" not in run.out
    assert (await offline("history", "--session", "s-9")).out == "No messages.\n"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (("STRASSE",), [f"{shown(1)}  ann  s-1", "    How long is a *Straße*?"]),
        (("0% o",), [f"{shown(6)}  bob  s-2", "    Is 10*0% o*f it here?"]),
        (("is", "--user", "bob"), [f"{shown(6)}  bob  s-2", "    *Is* 100% of it here?"]),
        (
            ("is", "--session", "s-1"),
            [
                f"{shown(2)}  assistant (big)  s-1",
                "    As long as it *is* [31mred.",
                f"{shown(1)}  ann  s-1",
                "    How long *is* a Straße?",
            ],
        ),
        (("needle",), [f"{shown(7)}  bob  s-3", f"    …{'x' * 59} *needle* {'y' * 93}…"]),
        (("nothing like it",), ["Nothing was found."]),
    ],
)
async def test_hits_have_the_words_marked(
    offline: Fleet, archive: Archive, options: tuple[str, ...], lines: list[str]
) -> None:
    del archive
    run = await offline("history", "--search", *options)
    assert run.code == 0, run.err
    assert run.out.splitlines() == lines


@pytest.mark.parametrize(
    ("content", "words", "parts"),
    [
        ("ab", "b", ("a", "b", "")),
        ("\x1b[1mA\n\tb", "a B", ("[1m", "A b", "")),
        ("x", "", ("x", "", "")),
        ("ﬁt", "F", ("", "ﬁ", "t")),
        ("nothing", "z", ("nothing", "", "")),
    ],
)
def test_words_are_marked_in_any_case(content: str, words: str, parts: tuple[str, str, str]) -> None:
    assert marked(content, words) == parts


async def test_usage_by_day_and_user(offline: Fleet, archive: Archive) -> None:
    del archive
    run = await offline("usage", "--json")
    assert run.code == 0, run.err
    day = f"{NOON:%Y-%m-%d}"
    assert rows(run.out) == [
        {
            "day": day,
            "user_id": user,
            "requests": requests,
            "prompt_tokens": read,
            "completion_tokens": written,
            "premium_requests": premium,
        }
        for user, requests, read, written, premium in (("ann", 3, 200, 20, 1), ("bob", 2, 0, 0, 0))
    ]
    table = await offline("usage", "--user", "ann")
    assert day in table.out
    assert "200" in table.out
    assert "bob" not in table.out
    assert (await offline("usage", "--days", "1")).out.startswith("Nothing was used since 2")


async def test_an_empty_archive_has_nothing(offline: Fleet, folder: Path) -> None:
    (folder / ".env").write_text(f"ARCHIVE_URL={folder}/new.db\n")
    run = await offline("history")
    assert run.code == 1
    assert "new.db" in run.err
    assert not (folder / "new.db").exists()
    archive = Archive(str(folder / "new.db"))
    await archive.open()
    await archive.close()
    assert (await offline("history")).out == "No conversations.\n"
    assert (await offline("history", "--json")).out == ""


@pytest.mark.parametrize("command", ["history", "usage"])
async def test_an_archive_that_is_away_is_said_in_a_line(
    offline: Fleet, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    port = free_port()
    monkeypatch.setenv("ARCHIVE_URL", f"postgresql://me:secret@127.0.0.1:{port}/archive?password=secret")
    run = await offline(command)
    assert run.code == 1
    assert run.err.endswith(f"Check ARCHIVE_URL=postgresql://127.0.0.1:{port}/archive.\n")
    assert len(run.err.splitlines()) == 1
    assert "secret" not in run.err


@pytest.mark.parametrize("arguments", [("history", "--user", "a b"), ("history", "-n", "0"), ("usage", "--days", "0")])
async def test_options_are_checked(offline: Fleet, arguments: tuple[str, ...]) -> None:
    assert (await offline(*arguments)).code == 2


async def test_an_address_that_is_none(offline: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_URL", "mysql://me:secret@db/archive")
    run = await offline("history")
    assert run.code == 2
    assert "ARCHIVE_URL" in run.err
    assert "secret" not in run.err
