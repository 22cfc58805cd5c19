"""Where the archive is: database addresses as people write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from handler_base.errors import InvalidRequestError

__all__ = ["Postgres", "Sqlite", "parse_address"]

_POSTGRES: Final = frozenset({"postgres", "postgresql"})

_NOT_FOR_THE_SERVER: Final = frozenset(
    {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_idle", "keepalives_interval"}
)
"""What libpq's addresses may say and asyncpg would hand to the server as a setting, which it would refuse."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database; the address may hold a password, and is never shown."""

    dsn: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A SQLite file."""

    path: Path


def parse_address(address: str) -> Postgres | Sqlite:
    """Read ``postgres://``, ``postgresql://`` or ``sqlite:///``, with or without a driver's name, or a file's path.

    Raises:
        InvalidRequestError: It is none of these.
    """
    scheme, separator, rest = address.strip().partition("://")
    if not separator:
        return _sqlite_file(scheme)
    kind = scheme.lower().partition("+")[0]
    if kind in _POSTGRES:
        return Postgres(_dsn(rest))
    if kind == "sqlite":
        if not rest.startswith("/"):
            raise InvalidRequestError("A SQLite address has three slashes before a path: sqlite:///archive.db.")
        return _sqlite_file(unquote(rest[1:].partition("?")[0]))
    raise InvalidRequestError("The archive's address begins with postgresql:// or sqlite:///.")


def _sqlite_file(path: str) -> Sqlite:
    if not path or path.startswith((":memory:", "file:")):
        raise InvalidRequestError("The archive needs a database address or the path of a file.")
    return Sqlite(Path(path).expanduser().absolute())


def _dsn(rest: str) -> str:
    try:
        parts = urlsplit(f"postgresql://{rest}")
    except ValueError:
        # Its words would quote the address, password and all.
        raise InvalidRequestError("The archive's address cannot be read.") from None
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, value) for name, value in pairs if name not in _NOT_FOR_THE_SERVER])
    return urlunsplit(parts._replace(query=query))
