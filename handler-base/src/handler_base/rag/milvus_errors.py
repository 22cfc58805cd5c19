"""Milvus error codes, which both of its APIs share, as the fleet's typed errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    NotFoundError,
    UpstreamError,
    UpstreamUnavailableError,
)

__all__ = ["NOT_LOADED", "STALE_LAYOUT", "error_for_milvus_code"]

NOT_LOADED: Final = frozenset({101, 103, 106, 201, 202})
"""The collection is there but not in memory: load it and try again."""

STALE_LAYOUT: Final = frozenset({100, 700, 1100, 1700, 1801, 65535})
"""What a search gets whose collection was dropped, or made again with other fields."""

_NOT_FOUND: Final = frozenset({100, 200, 800})
_BUSY: Final = frozenset({4, 8, 12, 1807})
_UNAVAILABLE: Final = frozenset({1, 2, 503, 2200}) | NOT_LOADED


def error_for_milvus_code(code: int) -> FleetError:
    """Return the typed error for a code other than 0, with a text that is safe to show."""
    if code in _NOT_FOUND:
        return NotFoundError("There is no such collection.")
    if code in _BUSY:
        return UpstreamUnavailableError("The document store is busy.", retry_after=timedelta(seconds=1))
    if code in _UNAVAILABLE:
        return UpstreamUnavailableError("The document store is not ready.")
    if code == 10001:
        return DeadlineExceededError("The document store took too long.")
    return UpstreamError("The document store answered with an error.")
