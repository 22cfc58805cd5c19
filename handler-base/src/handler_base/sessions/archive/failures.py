"""What a database's errors mean for whoever called.

A database quotes the row it refuses, so its words never leave here: neither in what is raised nor in a log.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from handler_base.errors import FleetError, InternalError, InvalidRequestError, UpstreamUnavailableError

__all__ = ["VALUE_ERRORS", "to_error"]

log = logging.getLogger(__name__)

VALUE_ERRORS: Final = (OverflowError, UnicodeError)
"""What the drivers raise themselves for a value they cannot send."""

_FILE_REFUSALS: Final = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError)
"""The same of a file that is written without SQLAlchemy; the last in case of a type that it has no way to keep."""

_REFUSED: Final = frozenset({"22", "23", "54"})
"""SQLSTATE classes of a fault in the row: its data, a constraint, a size."""


def to_error(error: BaseException) -> FleetError:
    """Return what to raise: the row is at fault, or the database is and may be asked again."""
    cause: BaseException = getattr(error, "orig", None) or error
    state: str = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
    facts = {"error_type": type(cause).__name__, "sqlstate": state}
    if state == "SQLITE_NOTADB":
        return InternalError("The archive's file is not a SQLite database.")
    if _is_refusal(error, cause, state):
        log.warning("the archive's database refused a row", extra=facts)
        return InvalidRequestError("The archive's database refuses the row.")
    log.warning("the archive's database is away", extra=facts)
    return UpstreamUnavailableError("The archive cannot be reached right now.")


def _is_refusal(error: BaseException, cause: BaseException, state: str) -> bool:
    if isinstance(error, (*VALUE_ERRORS, DataError, IntegrityError, *_FILE_REFUSALS)):
        return True
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        return True
    # A value that asyncpg itself cannot encode has no SQLSTATE, and is a ValueError as well.
    return state[:2] in _REFUSED or isinstance(cause.__cause__, ValueError)
