"""The connections of a process to its model servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from handler_base.http.connection import HttpConnection

__all__ = ["ConnectError", "HttpPool", "Origin"]

_FORBIDDEN: Final = str.maketrans("", "", "\r\n\0")


class ConnectError(Exception):
    """No connection could be made."""


class Origin:
    """One server: opens connections to it and keeps those that are idle.

    Args:
        url: Scheme, host, port and path prefix.
        idle: How long an unused connection is kept.
    """

    def __init__(self, url: str, idle: timedelta) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._idle_seconds = idle.total_seconds()
        self._ssl: ssl.SSLContext | None = None
        self._idle: list[HttpConnection] = []

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """Return the lines of a request that are the same each time, up to the length."""
        lines = "".join(f"{name}: {value.translate(_FORBIDDEN)}\r\n" for name, value in headers.items())
        target = f"{self._prefix}{path}" or "/"
        return f"{method} {target} HTTP/1.1\r\nHost: {self._authority}\r\n{lines}"

    def take(self) -> HttpConnection | None:
        """Return an idle connection, the one used last; None where there is none."""
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    async def connect(self, seconds: float) -> HttpConnection:
        """Open a connection.

        Raises:
            ConnectError: That was not possible within the time.
        """
        loop = asyncio.get_running_loop()
        if self._secure and self._ssl is None:
            self._ssl = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(HttpConnection, self._host, self._port, ssl=self._ssl)
        except (OSError, ssl.SSLError) as error:
            raise ConnectError from error
        return connection

    def give_back(self, connection: HttpConnection) -> None:
        """Keep a connection whose answer has been read, where it may be used again."""
        now = asyncio.get_running_loop().time()
        if connection.usable:
            connection.idle_since = now
            self._idle.append(connection)
        else:
            connection.abort()
        while self._idle and now - self._idle[0].idle_since > self._idle_seconds:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()


class HttpPool:
    """The connections of a process, shared by all its clients.

    No cookies, no proxies from the environment, no redirects: where a call goes is in the settings and nowhere else.

    Args:
        idle: How long an unused connection is kept.
    """

    def __init__(self, *, idle: timedelta = timedelta(seconds=15)) -> None:
        self._idle = idle
        self._origins: dict[str, Origin] = {}

    def origin(self, url: str) -> Origin:
        """Return the server of a base URL."""
        origin = self._origins.get(url)
        if origin is None:
            origin = self._origins[url] = Origin(url, self._idle)
        return origin

    async def open(self) -> None:
        """Make ready; connections are made by the calls that need them."""

    async def close(self) -> None:
        """Close every idle connection."""
        for origin in self._origins.values():
            origin.close()
