"""Where the session store is, read from its URL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["StoreAddress"]

_PORT: Final = 6379
_PLAIN: Final = frozenset({"redis", "valkey"})
_SECURE: Final = frozenset({"rediss", "valkeys"})
_OPTIONS: Final = frozenset({"db", "ssl_ca_certs", "ssl_cert_reqs"})


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where to connect to, and as whom.

    Attributes:
        host: Name or address; empty for a Unix socket.
        port: Of TCP.
        path: Of a Unix socket.
        username: Empty for the default user.
        password: Empty when there is none.
        database: Number of the database.
        secure: Whether to speak TLS.
        authority: Path of a CA certificate to trust in place of the system's.
        verify: Whether the server's certificate is checked.
    """

    host: str = ""
    port: int = _PORT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    secure: bool = False
    authority: str = ""
    verify: bool = True

    @classmethod
    def parse(cls, url: str) -> StoreAddress:
        """Read a URL: `redis://user:password@host:port/database`, also `valkey`, `rediss`, `valkeys` and `unix`.

        Raises:
            ValueError: It is none; the words do not repeat it, as it may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORT
        except ValueError:
            raise ValueError("the address of the session store is not a URL") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - _OPTIONS:
            raise ValueError(f"the address of the session store has unknown options: {', '.join(sorted(unknown))}")
        local = parts.scheme == "unix"
        if not (parts.path if local else parts.scheme in _PLAIN | _SECURE and parts.hostname):
            raise ValueError("the address of the session store must begin with redis://, rediss://, or unix://")
        return cls(
            host="" if local else parts.hostname or "",
            port=port,
            path=unquote(parts.path) if local else "",
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=_database(parts, options, local=local),
            secure=parts.scheme in _SECURE,
            authority=options.get("ssl_ca_certs", ""),
            verify=options.get("ssl_cert_reqs", "required") != "none",
        )

    def greeting(self) -> list[tuple[str | int, ...]]:
        """Return the commands that must succeed before any other."""
        commands: list[tuple[str | int, ...]] = []
        if self.password:
            commands.append(("AUTH", self.username, self.password) if self.username else ("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        return commands

    def tls(self) -> ssl.SSLContext:
        """Make the TLS context; reads certificates, so not on the event loop.

        Raises:
            OSError: The CA certificate cannot be read.
        """
        context = ssl.create_default_context(cafile=self.authority or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _database(parts: SplitResult, options: dict[str, str], *, local: bool) -> int:
    text = options.get("db") or ("" if local else parts.path.strip("/")) or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError("the database of the session store must be a number")
    return int(text)
