"""What the server's status messages say about a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

__all__ = ["Verdict", "classify", "last_stream_sequence", "messages_left"]

_MESSAGES_LEFT: Final = "Nats-Pending-Messages"
_LAST_STREAM_SEQUENCE: Final = "Nats-Last-Stream"
_MOST: Final = 2**63 - 1


class Verdict(Enum):
    """What a status asks for."""

    HEARTBEAT = auto()
    """Nothing: the pull waits, and the server lives."""
    ENDED = auto()
    """The pull had its time or its messages; pull again."""
    RETRY = auto()
    """The server will not serve it now; pull again after a pause."""
    GONE = auto()
    """There is no such consumer, or it cannot be pulled from; look at it before the next pull."""


_CONFLICTS: Final = (
    ("batch completed", Verdict.ENDED),
    ("message size exceeds maxbytes", Verdict.ENDED),
    ("consumer deleted", Verdict.GONE),
    ("consumer is push based", Verdict.GONE),
)


def classify(status: int, description: str) -> Verdict:
    """Return what a status asks for; what is not known is retried after a pause.

    Args:
        status: As in HTTP: 100, 400, 404, 408, 409, 503.
        description: In the server's words; tells the many meanings of 409 apart.
    """
    if status == 100:
        return Verdict.HEARTBEAT
    if status in {404, 408}:
        return Verdict.ENDED
    if status in {400, 503}:
        return Verdict.GONE
    if status == 409:
        said = description.lower()
        return next((verdict for words, verdict in _CONFLICTS if words in said), Verdict.RETRY)
    return Verdict.RETRY


def messages_left(headers: Mapping[str, str] | None) -> int | None:
    """Return how many messages of its batch a pull ended without, where the server says so."""
    return _number(headers, _MESSAGES_LEFT)


def last_stream_sequence(headers: Mapping[str, str] | None) -> int | None:
    """Return the stream sequence the consumer delivered last, to whomever, from an idle heartbeat."""
    return _number(headers, _LAST_STREAM_SEQUENCE)


def _number(headers: Mapping[str, str] | None, name: str) -> int | None:
    text = headers.get(name) if headers else None
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    return min(int(text), _MOST)
