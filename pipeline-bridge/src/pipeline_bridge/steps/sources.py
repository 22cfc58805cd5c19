"""What a pipeline may read: files and web pages below the URLs that the operator listed, and nothing else.

Whoever may publish a trigger names a URL, so it is checked here and again for every file and page it leads to.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import httpx

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    UnsupportedFormatError,
    UpstreamError,
    UpstreamUnavailableError,
)
from handler_base.rag import SourceDocument
from handler_base.rag.loaders import SUFFIXES, find_files, source_of

__all__ = ["Source", "Sources"]

_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_PAGES: Final = 50_000
"""What the sitemap protocol allows in one file."""

_LOCATION: Final = re.compile(r"<loc>\s*([^<\s]+)\s*</loc>")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_TYPES: Final = {
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One document that can be read.

    Attributes:
        name: What identifies it in a collection: the path below the folder that was named, with the folder's own
            name, or the URL.
        url: Where it is.
        path: The same as a path, of a file.
    """

    name: str
    url: str
    path: Path | None = None


class Sources:
    """Reads documents and files; use it with ``async with``.

    Args:
        allowed: Beginnings of URLs: `file:///srv/docs/`, `https://docs.example.org/guide/`. One without a slash at
            its end allows that file or folder; a path is never matched in the middle of a name.
        timeout: Most time of one answer over HTTP.

    Raises:
        InvalidRequestError: What is allowed is not written as URLs.
    """

    def __init__(self, allowed: Sequence[str], *, timeout: timedelta = timedelta(seconds=30)) -> None:
        self._allowed = [_allowed(url) for url in allowed]
        # A redirect could lead anywhere, such as to an address inside the cluster.
        self._http = httpx.AsyncClient(follow_redirects=False, timeout=timeout.total_seconds())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def check(self, url: str) -> SplitResult:
        """Return a URL's parts if it may be read.

        Raises:
            InvalidRequestError: It is not a URL of a file or a web page.
            PermissionDeniedError: It is not below what was allowed.
        """
        parts = _parsed(url)
        path = Path(_file_path(parts)).resolve() if parts.scheme == "file" else None
        if not any(_is_below(parts, path, allowed) for allowed in self._allowed):
            raise PermissionDeniedError("The URL is not below one of SOURCE_URLS.")
        return parts

    def list_files(self, url: str) -> list[Source]:
        """Return the documents a `file:` URL names: the file, or those in the folder, sorted; blocks.

        Raises:
            NotFoundError: There is nothing.
            PermissionDeniedError: It, or where a link in it leads to, is not allowed.
        """
        root = Path(_file_path(self.check(url))).resolve()
        found = []
        for path in find_files(root):
            where = f"file://{quote(str(path))}"
            self.check(where)
            found.append(Source(source_of(path, root.parent), where, path.resolve()))
        return found

    async def list_pages(self, url: str) -> list[Source]:
        """Return the pages a URL names: itself, or those of a sitemap that may be read.

        Raises:
            PermissionDeniedError: The URL, or every page of the sitemap, is not allowed.
            UpstreamUnavailableError: The server cannot be reached.
        """
        if not self.check(url).path.endswith(".xml"):
            return [Source(url, url)]
        content, _ = await self._fetch(url)
        named = [html.unescape(found) for found in _LOCATION.findall(content.decode("utf-8", "replace"))]
        pages = list(dict.fromkeys(page for page in named if self._may_read(page)))
        if not pages:
            raise PermissionDeniedError("The sitemap names no page that is below one of SOURCE_URLS.")
        if len(pages) > _MOST_PAGES:
            raise PayloadTooLargeError(f"The sitemap names more than {_MOST_PAGES} pages.")
        return [Source(page, page) for page in sorted(pages)]

    async def load_page(self, source: Source) -> SourceDocument:
        """Read one document over HTTP.

        Raises:
            UnsupportedFormatError: Neither its type nor its name is one that can be read.
            FleetError: It cannot be had, or is damaged.
        """
        content, media_type = await self._fetch(source.url)
        suffix = _TYPES.get(media_type) or PurePosixPath(urlsplit(source.url).path).suffix.lower()
        loader = SUFFIXES.get(suffix)
        if loader is None:
            raise UnsupportedFormatError("Pages must be HTML, Markdown, text or PDF.")
        return loader(content, source.name)

    async def text(self, url: str) -> str:
        """Return the text of one file or page.

        Raises:
            NotFoundError: There is nothing.
            InvalidRequestError: It is not UTF-8.
        """
        try:
            return (await self.content(url)).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidRequestError("The text is not UTF-8.") from None

    async def content(self, url: str) -> bytes:
        """Return the bytes of one file or page.

        Raises:
            NotFoundError: There is nothing.
            PayloadTooLargeError: It is larger than 64 MB.
        """
        if self.check(url).scheme == "file":
            return await asyncio.to_thread(self._file, url)
        return (await self._fetch(url))[0]

    def _file(self, url: str) -> bytes:
        path = Path(_file_path(self.check(url)))
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise PayloadTooLargeError("The file is larger than 64 MB.")
            return path.read_bytes()
        except OSError:
            raise NotFoundError("The file cannot be opened.") from None

    def _may_read(self, url: str) -> bool:
        try:
            return self.check(url).scheme != "file"
        except FleetError:
            return False

    async def _fetch(self, url: str) -> tuple[bytes, str]:
        """Return the body and the media type of a URL."""
        self.check(url)
        try:
            async with self._http.stream("GET", url) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise NotFoundError("There is no page at the URL.")
                if answer.status_code != httpx.codes.OK:
                    raise UpstreamError(f"The server of the page answered {answer.status_code}.")
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > _MOST_BYTES:
                        raise PayloadTooLargeError("The page is larger than 64 MB.")
        except (httpx.HTTPError, httpx.InvalidURL):
            raise UpstreamUnavailableError("The server of the page does not answer.") from None
        return bytes(content), answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequestError("The URL is not valid.") from None
    if parts.scheme not in {"file", "http", "https"} or parts.username is not None or parts.password is not None:
        raise InvalidRequestError("The URL must begin with file:, http: or https:, without a user name.")
    if parts.scheme == "file" and (parts.netloc not in {"", "localhost"} or not parts.path.startswith("/")):
        raise InvalidRequestError("A file's URL is file:///path.")
    if parts.scheme == "file" and "\0" in unquote(parts.path):
        raise InvalidRequestError("The URL is not valid.")
    if parts.scheme != "file" and (not parts.hostname or port == 0 or not url.isprintable() or "\\" in url):
        raise InvalidRequestError("The URL is not valid.")
    return parts


def _allowed(url: str) -> SplitResult:
    try:
        return _parsed(url)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"SOURCE_URLS is not valid: {error.message}") from None


def _file_path(parts: SplitResult) -> str:
    return unquote(parts.path)


def _is_below(parts: SplitResult, path: Path | None, allowed: SplitResult) -> bool:
    if parts.scheme != allowed.scheme:
        return False
    if path is not None:
        # Links are followed on both sides, so that none leads out.
        return path.is_relative_to(Path(_file_path(allowed)).resolve())
    if (parts.hostname, _port(parts)) != (allowed.hostname, _port(allowed)):
        return False
    steps, base = _steps(parts), _steps(allowed)
    return ".." not in steps and steps[: len(base)] == base


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def _steps(parts: SplitResult) -> list[str]:
    """Return the segments of a path; what a server might take for a slash or a dot is one here too."""
    return [step for step in re.split(r"/", unquote(unquote(parts.path))) if step not in {"", "."}]
