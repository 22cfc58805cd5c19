"""What a fake inference server does: when it answers, how fast, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Failure", "FailureKind", "Script", "busy", "error_in_stream", "hang", "reset", "status", "truncated"]


class FailureKind(StrEnum):
    """How a fake fails."""

    STATUS = "status"
    """Answers with a status that is an error."""
    RESET = "reset"
    """Closes the connection with a reset."""
    HANG = "hang"
    """Sends nothing more and keeps the connection."""
    TRUNCATED = "truncated"
    """Ends the connection in the middle of the body."""
    MALFORMED = "malformed"
    """Sends a whole body that is half a JSON document."""
    ENDLESS = "endless"
    """Never stops sending."""
    ERROR_IN_STREAM = "error_in_stream"
    """Reports an error as an event of the stream."""
    NO_END_MARKER = "no_end_marker"
    """Ends the stream properly but without its end marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure.

    Attributes:
        kind: What happens.
        after: In a stream, pieces that are sent before it happens.
        code: The HTTP status of `STATUS`.
        retry_after: The ``Retry-After`` header of `STATUS`; empty for none.
        body: The body of `STATUS`.
    """

    kind: FailureKind
    after: int = 0
    code: int = 500
    retry_after: str = ""
    body: bytes = b'{"error":{"message":"scripted failure","type":"server_error"}}'


@dataclass(kw_only=True)
class Script:
    """What a fake does; may be changed between requests.

    Attributes:
        delay: Seconds before the answer begins.
        tokens_per_second: Pieces a second of a stream; 0 for no pause.
        burst: Pieces of a stream that are sent together.
        failures: What happens to the next requests, each taken off the list; None lets one pass.
        always: What happens to every other request; None for nothing.
    """

    delay: float = 0.0
    tokens_per_second: float = 0.0
    burst: int = 1
    failures: list[Failure | None] = field(default_factory=list)
    always: Failure | None = None


def status(code: int, retry_after: str = "") -> Failure:
    """Return the failure that answers with an error status."""
    return Failure(kind=FailureKind.STATUS, code=code, retry_after=retry_after)


def busy(retry_after: str = "0") -> Failure:
    """Return the failure of a server that is overloaded and says when to come back."""
    return status(429, retry_after)


def reset(after: int = 0) -> Failure:
    """Return the failure that resets the connection."""
    return Failure(kind=FailureKind.RESET, after=after)


def hang(after: int = 0) -> Failure:
    """Return the failure that falls silent."""
    return Failure(kind=FailureKind.HANG, after=after)


def truncated(after: int = 0) -> Failure:
    """Return the failure that ends the connection in the middle of the body."""
    return Failure(kind=FailureKind.TRUNCATED, after=after)


def error_in_stream(after: int = 0) -> Failure:
    """Return the failure that is reported as an event of the stream."""
    return Failure(kind=FailureKind.ERROR_IN_STREAM, after=after)
