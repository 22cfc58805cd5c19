"""Base URLs as people write them: with or without ``/v1``, a trailing slash, a path prefix, or a whole path."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

__all__ = ["BaseUrl", "base_urls"]

_VERSION: Final = "/v1"
_PORTS: Final = {"http": 80, "https": 443}
_PATH_CHARACTERS: Final = "/%:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Where a server is.

    Attributes:
        url: Scheme, host, port and path prefix; no trailing slash and no ``/v1``.
        label: Host and port, for logs and metrics: never a user name or a key.
        authorization: Value of the ``Authorization`` header that the URL asks for; empty where it has none.
        path: The known path that was cut off, such as ``/v1/rerank``; tried first.
    """

    url: str
    label: str
    authorization: str = ""
    path: str = ""


def base_urls(urls: str | Iterable[str], known_paths: Iterable[str] = ()) -> list[BaseUrl]:
    """Read a list of base URLs.

    Args:
        urls: One string with commas between the URLs, or the URLs.
        known_paths: Paths of the client's dialects, which a URL may end with.

    Raises:
        ValueError: There is none, or one is not an http or https URL.
    """
    parts = urls.split(",") if isinstance(urls, str) else urls
    paths = sorted(known_paths, key=len, reverse=True)
    found = [_base_url(part.strip(), paths) for part in parts if part.strip()]
    if not found:
        raise ValueError("no base URL is set")
    return found


def _base_url(text: str, known_paths: list[str]) -> BaseUrl:
    url = urlsplit(text)
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError("a base URL must begin with http:// or https:// and name a host")
    authorization = ""
    if url.username is not None:
        credentials = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        authorization = f"Basic {base64.b64encode(credentials).decode()}"
    path = quote(url.path, safe=_PATH_CHARACTERS).rstrip("/")
    cut = next((known for known in known_paths if known and path.endswith(known)), "")
    path = path.removesuffix(cut).removesuffix(_VERSION)
    host = url.hostname if url.hostname.isascii() else url.hostname.encode("idna").decode()
    label = f"{f'[{host}]' if ':' in host else host}:{url.port or _PORTS[url.scheme]}"
    return BaseUrl(url=f"{url.scheme}://{label}{path}", label=label, authorization=authorization, path=cut)
