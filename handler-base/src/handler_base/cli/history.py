"""`fleet history`: archived conversations."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.stores import check_id, opened_archive
from handler_base.cli.terminal import (
    clean,
    clean_line,
    fail,
    make_table,
    print_json_line,
    print_table,
    print_text,
)
from handler_base.sessions import Conversation

if TYPE_CHECKING:
    from handler_base.sessions import ChatMessage
    from handler_base.sessions.archive import Archive, StoredConversation

__all__ = ["history", "marked"]

_BEFORE: Final = 60
_AROUND: Final = 160
"""Characters of a hit that are shown, and how many of them before the words."""

_LOOKED_AT: Final = 1000
"""Messages of a conversation that are looked at to see whose it is."""

_MARKS: Final = ("\x1b[1;7m", "\x1b[0m")
_PLAIN_MARKS: Final = ("*", "*")


async def history(*, user: str, session: str, search: str, limit: int, as_json: bool) -> None:
    """Print conversations, one of them, or what was said about something.

    Args:
        user: Only of this user; empty: of all.
        session: Only this conversation; empty: all.
        search: What to look for; empty: nothing.
        limit: Most conversations, messages or hits.
        as_json: Whether to print a JSON object a line.

    Raises:
        typer.Exit: The archive cannot be read.
    """
    for name, value in (("--user", user), ("--session", session)):
        if value:
            check_id(name, value)
    async with opened_archive() as archive:
        if search:
            hits = await archive.search(search, user_id=user, session_id=session, limit=limit)
            _show_messages(hits, as_json=as_json, search=search)
        elif session:
            owner = user or await _owner(archive, session)
            said = await archive.messages(owner, session, limit=limit)
            _show_messages(tuple(Conversation(said)) if said else (), as_json=as_json)
        else:
            _show_conversations(await archive.conversations(user_id=user, limit=limit), as_json=as_json)


async def _owner(archive: Archive, session: str) -> str:
    """Return whose conversation it is: an id may be in use by several users."""
    # Every message holds the empty text.
    users = {message.user_id for message in await archive.search("", session_id=session, limit=_LOOKED_AT)}
    if len(users) > 1:
        fail(f"Several users have a conversation {session}; --user says whose.", ExitCode.USAGE)
    return next(iter(users), "")


def _show_conversations(found: Sequence[StoredConversation], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print_json_line(_as_json(asdict(one)))
        return
    if not found:
        print_text("No conversations.")
        return
    table = make_table("", "time", "user", "session", "title", "messages#")
    for one in found:
        table.add_row(
            _shown_time(one.last_activity),
            clean_line(one.user_id) or "-",
            clean_line(one.session_id),
            clean_line(one.title, 60) or "-",
            str(one.messages),
        )
    print_table(table)


def _show_messages(found: Sequence[ChatMessage], *, as_json: bool, search: str = "") -> None:
    if as_json:
        for one in found:
            print_json_line(_as_json(structs.asdict(one)))
        return
    if not found:
        print_text("Nothing was found." if search else "No messages.")
    for one in found:
        if search:
            print_text(f"{_shown_time(one.created_at)}  {_speaker(one)}  {clean_line(one.session_id)}")
            before, hit, after = marked(one.content, search)
            # The marks are ours; what they stand between is cleaned.
            opening, closing = (_MARKS if sys.stdout.isatty() else _PLAIN_MARKS) if hit else ("", "")
            print(f"    {before}{opening}{hit}{closing}{after}", flush=True)  # noqa: T201 - print_text takes the marks away
        else:
            print_text(f"{_shown_time(one.created_at)}  {_speaker(one)}")
            print_text("\n".join(f"    {line}" for line in clean(one.content).splitlines() or [""]))


def marked(content: str, words: str) -> tuple[str, str, str]:
    """Return what surrounds some words in a text, the words as they stand there, and what follows.

    Args:
        content: The text.
        words: What was looked for, in any case.

    Returns:
        Three parts of one line, cleaned; the words are empty where they cannot be told apart in the text.
    """
    text = clean_line(content)
    wanted = _fold(clean_line(words))
    folded, places = [], []
    for place, character in enumerate(text):
        for one in _fold(character):
            folded.append(one)
            places.append(place)
    at = "".join(folded).find(wanted) if wanted else -1
    if at < 0:
        return (f"{text[:_AROUND]}…" if len(text) > _AROUND else text), "", ""
    first, last = places[at], places[at + len(wanted) - 1] + 1
    start = max(0, first - _BEFORE)
    end = min(len(text), max(last, start + _AROUND))
    before = ("…" if start else "") + text[start:first]
    return before, text[first:last], text[last:end] + ("…" if end < len(text) else "")


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _speaker(one: ChatMessage) -> str:
    if one.role == "user":
        return clean_line(one.user_id) or "somebody"
    details = ", ".join(filter(None, (clean_line(one.model), "" if one.status == "complete" else one.status)))
    return f"assistant ({clean_line(details)})" if details else "assistant"


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _moment(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
