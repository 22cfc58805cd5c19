"""`fleet forget`: a user's data removed everywhere."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import typer

from handler_base.cli.environment import read_settings, without_credentials
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.stores import archive_address, check_id, new_archive, new_store
from handler_base.cli.terminal import fail, print_text, warn
from handler_base.config import ArchiveSettings, SessionSettings, Settings
from handler_base.errors import FleetError
from handler_base.nats_client import NatsConnection, options_from_settings
from handler_base.sessions.forgetting import Forgotten, forget_user

if TYPE_CHECKING:
    from handler_base.sessions.archive import Archive
    from handler_base.sessions.store import SessionStore

__all__ = ["forget"]

_CONNECT_TIMEOUT: Final = timedelta(seconds=2)
_CLOSE_BUDGET: Final = timedelta(seconds=1)


async def forget(nats_url: str, user: str, *, yes: bool) -> None:
    """Remove a user's data and print what was removed where.

    Args:
        nats_url: From the command line.
        user: Who.
        yes: Whether not to ask.

    Raises:
        typer.Exit: It was not confirmed, or something is left.
    """
    check_id("USER", user)
    if not yes:
        _confirm(user)
    troubles: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_connection(nats_url, troubles))
        archive = await stack.enter_async_context(_archive(troubles))
        store = await stack.enter_async_context(_store())
        forgotten = await forget_user(user, store=store, archive=archive, connection=connection)
        _show(forgotten, archive=archive is not None, store=store is not None, streams=connection is not None)
    for name, trouble in (troubles | forgotten.troubles).items():
        warn(f"{name}: {trouble}")
    if troubles or forgotten.troubles:
        fail(f"{user} is not forgotten everywhere; run `fleet forget {user}` again.", ExitCode.FLEET_ERROR)


def _confirm(user: str) -> None:
    if not sys.stdin.isatty():
        fail("There is no terminal to ask on; --yes removes without asking.", ExitCode.USAGE)
    if not typer.confirm(f"Remove everything that is kept of {user}? It cannot be brought back."):
        fail("Nothing was removed.", ExitCode.FLEET_ERROR)


@asynccontextmanager
async def _connection(nats_url: str, troubles: dict[str, str]) -> AsyncIterator[NatsConnection | None]:
    settings = read_settings(Settings, nats_url=nats_url)
    connection = NatsConnection(options_from_settings(settings, "fleet-cli"))
    reached = True
    try:
        await connection.connect(timeout=_CONNECT_TIMEOUT)
    except (FleetError, OSError, ValueError):
        where = without_credentials(settings.nats_url)
        troubles["JetStream"] = f"NATS cannot be reached at {where}, or refuses; nothing was removed there."
        reached = False
    try:
        yield connection if reached else None
    finally:
        await connection.close(_CLOSE_BUDGET)


@asynccontextmanager
async def _archive(troubles: dict[str, str]) -> AsyncIterator[Archive | None]:
    settings = read_settings(ArchiveSettings)
    if settings.archive_mode == "off" and "archive_url" not in settings.model_fields_set:
        yield None
        return
    opened = new_archive(settings)
    archive: Archive | None = opened
    try:
        await opened.open(migrate=False)
    except FleetError as error:
        troubles["archive"] = f"{error.message} Nothing was removed from {archive_address(settings)}."
        archive = None
    try:
        yield archive
    finally:
        if archive is not None:
            await archive.close()


@asynccontextmanager
async def _store() -> AsyncIterator[SessionStore | None]:
    store = new_store(read_settings(SessionSettings))
    if not store.enabled:
        yield None
        return
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _show(forgotten: Forgotten, *, archive: bool, store: bool, streams: bool) -> None:
    held = ", ".join(f"{name} {count}" for name, count in forgotten.streams.items() if count)
    counts = (
        ("JetStream", streams, sum(forgotten.streams.values()), "message", f" ({held})" if held else ""),
        ("archive", archive, forgotten.archived, "message", ""),
        ("Valkey", store, forgotten.keys, "key", ""),
    )
    for name, used, count, thing, details in counts:
        if used and (count or name not in forgotten.troubles):
            print_text(f"{name:<9}  {count} {thing}{'' if count == 1 else 's'} removed{details}")
