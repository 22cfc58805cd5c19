"""The archive and the sessions for the length of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from handler_base.cli.environment import read_settings, without_credentials
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import fail
from handler_base.config import ArchiveSettings, SessionSettings
from handler_base.errors import FleetError, InvalidRequestError
from handler_base.messages.subjects import check_token
from handler_base.sessions.store import SessionStore

if TYPE_CHECKING:
    from handler_base.sessions.archive import Archive

__all__ = ["archive_address", "check_id", "new_archive", "new_store", "opened_archive", "opened_store"]

_STORE_TIMEOUT: Final = timedelta(seconds=2)
"""A person waits longer for Valkey than a question may."""


def check_id(name: str, value: str) -> str:
    """Return an id from the command line.

    Args:
        name: The option or argument it was given by.
        value: The id.

    Raises:
        typer.Exit: It is not one.
    """
    try:
        return check_token(name, value)
    except InvalidRequestError as error:
        fail(error.message, ExitCode.USAGE)


def archive_address(settings: ArchiveSettings) -> str:
    """Return where the archive is, fit to be shown."""
    return without_credentials(settings.archive_url.get_secret_value().partition("?")[0])


def new_archive(settings: ArchiveSettings) -> Archive:
    """Return the archive, not yet open.

    Raises:
        typer.Exit: Its address is not one, or a package is missing.
    """
    try:
        from handler_base.sessions.archive import Archive  # noqa: PLC0415 - SQLAlchemy is an extra

        return Archive(settings.archive_url.get_secret_value())
    except ModuleNotFoundError as error:
        fail(
            f"The package {error.name} is missing; install it with: pip install 'handler-base[archive]'.",
            ExitCode.USAGE,
        )
    except InvalidRequestError as error:
        fail(f"{error.message} Check ARCHIVE_URL.", ExitCode.USAGE)


def new_store(settings: SessionSettings) -> SessionStore:
    """Return the sessions, not yet open.

    Raises:
        typer.Exit: Their address is not one.
    """
    try:
        return SessionStore(
            settings.redis_url,
            ttl=timedelta(seconds=settings.session_ttl),
            most_turns=settings.history_turns,
            timeout=_STORE_TIMEOUT,
        )
    except ValueError:
        fail(f"REDIS_URL is not valid: {without_credentials(settings.redis_url)}.", ExitCode.USAGE)


@asynccontextmanager
async def opened_archive() -> AsyncIterator[Archive]:
    """Yield the archive; what goes wrong with it ends the command.

    Raises:
        typer.Exit: It cannot be read.
    """
    settings = read_settings(ArchiveSettings)
    archive = new_archive(settings)
    try:
        await archive.open(migrate=False)
        yield archive
    except FleetError as error:
        fail(f"{error.message} Check ARCHIVE_URL={archive_address(settings)}.", ExitCode.FLEET_ERROR)
    finally:
        await archive.close()


@asynccontextmanager
async def opened_store() -> AsyncIterator[SessionStore]:
    """Yield the sessions; what goes wrong with them ends the command.

    Raises:
        typer.Exit: They cannot be reached, or there are none.
    """
    settings = read_settings(SessionSettings)
    store = new_store(settings)
    if not store.enabled:
        fail("There is no Valkey: REDIS_URL turns it off.", ExitCode.USAGE)
    try:
        await store.open()
        yield store
    except FleetError as error:
        fail(f"{error.message} Check REDIS_URL={without_credentials(settings.redis_url)}.", ExitCode.FLEET_ERROR)
    finally:
        await store.close()
