"""NATS message headers: their names in the contract, their form on the wire, and look-up in any case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from handler_base.errors import InvalidRequestError

__all__ = [
    "CONTENT_TYPE",
    "DEADLINE_MS",
    "ERROR",
    "ERROR_CODE",
    "EXPECTED_LAST_SUBJECT_SEQUENCE",
    "MESSAGE_ID",
    "MESSAGE_TYPE",
    "RETRY_AFTER",
    "ROLLUP",
    "TRACEPARENT",
    "TRACESTATE",
    "HeaderValue",
    "decode_headers",
    "encode_headers",
    "header",
]

CONTENT_TYPE: Final = "Content-Type"
MESSAGE_TYPE: Final = "Message-Type"
DEADLINE_MS: Final = "Deadline-Ms"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MESSAGE_ID: Final = "Nats-Msg-Id"
EXPECTED_LAST_SUBJECT_SEQUENCE: Final = "Nats-Expected-Last-Subject-Sequence"
ERROR: Final = "Nats-Service-Error"
ERROR_CODE: Final = "Nats-Service-Error-Code"
RETRY_AFTER: Final = "Retry-After"
ROLLUP: Final = "Nats-Rollup"

HeaderValue = str | int | float

_VERSION: Final = "NATS/1.0"
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE_BREAKS: Final = str.maketrans({"\r": " ", "\n": " "})
_MOST_KNOWN_NAMES: Final = 256

_known_names: Final[set[str]] = set()


def header(headers: Mapping[str, str] | None, name: str) -> str | None:
    """Return the value of a header in whatever case its name was sent, or None."""
    if not headers:
        return None
    value = headers.get(name)
    if value is not None:
        return value
    wanted = name.lower()
    for key, other in headers.items():
        if key.lower() == wanted:
            return other
    return None


def encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    """Return the header block as it goes on the wire, with the empty line that ends it.

    Line breaks in a value become spaces, so that no value can start a header, or a protocol line, of its own.

    Raises:
        InvalidRequestError: A name holds what a header name may not hold.
    """
    lines = [f"{_VERSION}\r\n"]
    for name, value in headers.items():
        if name not in _known_names:
            _check_name(name)
        text = value if isinstance(value, str) else str(value)
        if "\n" in text or "\r" in text:
            text = text.translate(_LINE_BREAKS)
        lines.append(f"{name}: {text}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "replace")


def decode_headers(block: bytes) -> tuple[int, str, dict[str, str]]:
    """Read a header block, with the status that the server may put in its first line.

    What cannot be read is left out: a message is worth more than its worst header. Of a header sent twice the
    first value counts.

    Args:
        block: From ``NATS/1.0`` to the empty line.

    Returns:
        The status (0 where there is none), its description, and the headers.
    """
    lines = block.decode("utf-8", "replace").split("\r\n")
    status, description = _decode_status(lines[0])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        words = name.split()
        if separator and len(words) == 1:
            headers.setdefault(words[0], value.strip())
    return status, description, headers


def _decode_status(line: str) -> tuple[int, str]:
    if len(line) <= len(_VERSION):
        return 0, ""
    code, _, description = line[len(_VERSION) :].strip().partition(" ")
    if len(code) == 3 and code.isascii() and code.isdigit():
        return int(code), description.strip()
    return 0, ""


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequestError("A header name holds characters that are not allowed.")
    if len(_known_names) < _MOST_KNOWN_NAMES:
        _known_names.add(name)
