"""Calls of an engine's REST API: token, TLS, and what its failures mean."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec
from pydantic import SecretStr

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    UpstreamError,
    UpstreamUnavailableError,
)

__all__ = ["Access", "AlreadyExistsError", "EngineApi"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)
_AT_ONCE: Final = 16
"""Calls at the same time, besides an answer that goes on."""

_MOST_WORDS: Final = 300
_LONGEST_LINE: Final = 64 * 1024 * 1024


class AlreadyExistsError(FleetError):
    """What was to be made is there already."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API.

    Attributes:
        url: Base URL.
        token: Bearer token; empty: none.
        token_path: File with the token, which is read again when it changes; empty: none.
        ca: File with the CA certificate; empty: the system's.
        verify: Whether the server's certificate is checked.
    """

    url: str
    token: SecretStr = field(default_factory=lambda: SecretStr(""))
    token_path: str = ""
    ca: str = ""
    verify: bool = True


class EngineApi:
    """A REST API.

    Args:
        title: What people call it, such as Argo.
        access: How to reach it.

    Attributes:
        available: Whether the last call was answered.
    """

    def __init__(self, title: str, access: Access) -> None:
        self._title = title
        self._access = access
        self._client: httpx.AsyncClient | None = None
        self._opened = False
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._token = ""
        self._token_stamp: tuple[int, int] | None = None
        self.available = True

    def open(self) -> None:
        """Let calls be made; the client is made with the first, since not every bridge uses every engine."""
        self._opened = True

    def _make(self) -> httpx.AsyncClient:
        base = self._access.url.rstrip("/")
        limits = httpx.Limits(max_connections=2 * _AT_ONCE, max_keepalive_connections=_AT_ONCE)
        return httpx.AsyncClient(base_url=base, timeout=_TIMEOUT, limits=limits, verify=self._tls(), trust_env=False)

    async def close(self) -> None:
        """Close it."""
        self._opened = False
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def call(
        self, method: str, path: str, answer: type[T], *, query: Mapping[str, str] | None = None, body: object = None
    ) -> T:
        """Make a call and return its answer.

        Raises:
            UpstreamUnavailableError: It cannot be reached, or failed for a reason that may go by.
            OverloadedError: It is too busy.
            NotFoundError: There is no such thing.
            AlreadyExistsError: There is such a thing.
            PermissionDeniedError: It forbids that, or does not know the token.
            InvalidRequestError: It refuses the request.
            UpstreamError: It answered with nonsense.
        """
        content = None if body is None else msgspec.json.encode(body)
        try:
            # A thousand that wait for a connection in httpx's pool cost it seconds: each looks through all of them.
            async with self._turns:
                client, headers = self._open_client(), self._headers()
                response = await client.request(
                    method, path, params=dict(query or {}), content=content, headers=headers
                )
        except httpx.HTTPError as error:
            raise self._away(error) from error
        if not response.is_success:
            raise self._refusal(response.status_code, response.content)
        self.available = True
        return self.read(response.content, answer)

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], *, idle: float) -> AsyncGenerator[Lines, None]:
        """Open an answer that goes on, line by line.

        Args:
            path: Of the resource.
            query: Its parameters.
            idle: Seconds without a byte after which the connection counts as dead.

        Raises:
            FleetError: As of `call`; the lines raise `UpstreamUnavailableError` when they are cut.
        """
        timeout = httpx.Timeout(idle, connect=5.0)
        client = self._open_client()
        request = client.build_request("GET", path, params=dict(query), headers=self._headers(), timeout=timeout)
        try:
            response = await client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        try:
            if not response.is_success:
                try:
                    content = await response.aread()
                except httpx.HTTPError as error:
                    raise self._away(error) from error
                raise self._refusal(response.status_code, content)
            self.available = True
            yield Lines(response, self._away)
        finally:
            await response.aclose()

    def read(self, content: bytes | msgspec.Raw, answer: type[T]) -> T:
        """Read an answer.

        Raises:
            UpstreamError: It is not what it should be.
        """
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:
            raise UpstreamError(f"{self._title} answered with something unexpected.") from error

    def _open_client(self) -> httpx.AsyncClient:
        if not self._opened:
            raise UpstreamUnavailableError(f"{self._title} is not connected.")
        if self._client is None:
            self._client = self._make()
        return self._client

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _current_token(self) -> str:
        """Return the token; a projected one is replaced in its file about every hour."""
        path = self._access.token_path
        if not path:
            return self._access.token.get_secret_value()
        try:
            found = Path(path).stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._token_stamp:
                self._token = Path(path).read_text(encoding="ascii").strip().removeprefix("Bearer ")
                self._token_stamp = stamp
        except (OSError, UnicodeDecodeError):
            log.warning("the token cannot be read", extra={"engine": self._title})
        return self._token

    def _tls(self) -> ssl.SSLContext | bool:
        if not self._access.url.startswith("https:"):
            return False
        if not self._access.verify:
            return False
        return ssl.create_default_context(cafile=self._access.ca or None)

    def _away(self, error: httpx.HTTPError) -> UpstreamUnavailableError:
        if self.available:
            log.warning("an engine cannot be reached", extra={"engine": self._title, "error": type(error).__name__})
        self.available = False
        return UpstreamUnavailableError(f"{self._title} cannot be reached right now.")

    def _refusal(self, status: int, content: bytes) -> FleetError:
        words = _words(content)
        log.warning("an engine refused", extra={"engine": self._title, "status": status, "reason": words})
        self.available = status not in {401, 403} and status < 500
        make = _REFUSALS.get(status)
        if make is not None:
            return make(self._title)
        if status >= 500:
            return UpstreamUnavailableError(f"{self._title} failed. Try again later.")
        return InvalidRequestError(f"{self._title} refused the run as it was asked for.")


class Lines:
    """The lines of an answer that goes on.

    Args:
        response: The answer.
        failure: Makes the error of a cut.
    """

    def __init__(
        self, response: httpx.Response, failure: Callable[[httpx.HTTPError], UpstreamUnavailableError]
    ) -> None:
        self._response = response
        self._failure = failure

    async def each(self) -> AsyncGenerator[bytes, None]:
        """Yield them, and end when the server ends the answer, or sends nothing for long.

        Raises:
            UpstreamUnavailableError: It was cut.
        """
        rest = bytearray()
        try:
            async for piece in self._response.aiter_bytes():
                rest += piece
                if b"\n" not in piece:
                    if len(rest) > _LONGEST_LINE:
                        raise UpstreamUnavailableError("A line is too long to be read.")
                    continue
                *lines, last = bytes(rest).split(b"\n")
                rest = bytearray(last)
                for line in lines:
                    if line.strip():
                        yield line
        except httpx.ReadTimeout:
            return  # nothing came for long: the link may be dead, and a new one costs little
        except httpx.HTTPError as error:
            raise self._failure(error) from error


def _permission(title: str) -> FleetError:
    return PermissionDeniedError(f"{title} does not let the bridge do that.")


_REFUSALS: Final[dict[int, Callable[[str], FleetError]]] = {
    # A token is soon replaced by one that is valid: there is no need to give up what waits for it.
    401: lambda title: UpstreamUnavailableError(f"{title} does not accept the bridge's token."),
    403: _permission,
    404: lambda title: NotFoundError(f"{title} has no such template or run."),
    408: lambda title: UpstreamUnavailableError(f"{title} is too slow right now."),
    409: lambda title: AlreadyExistsError(f"{title} has that already."),
    429: lambda title: OverloadedError(f"{title} is too busy right now."),
}


class _Words(msgspec.Struct):
    """An error as gRPC's gateway writes it; the older form has it in `error`."""

    message: Any = ""
    error: Any = ""


def _words(content: bytes) -> str:
    """Return what the server said, for the log."""
    try:
        told = msgspec.json.decode(content, type=_Words)
        return str(told.message or told.error)[:_MOST_WORDS]
    except msgspec.MsgspecError:
        return ""
