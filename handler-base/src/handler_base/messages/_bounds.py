"""Types with bounds, so that what one encoding takes the other can carry, and no body grows much when it is read.

The bounds of maps and lists are far above anything a service sends: they are there because an entry of four
bytes on the wire becomes an object of a hundred in memory. They are checked before the entries are read.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from msgspec import Meta

__all__ = [
    "CONTAINER_LIMIT",
    "LARGE_BODY",
    "MAX_ENTRIES",
    "MAX_ITEMS",
    "MAX_KEYS",
    "TEXT_LIMIT",
    "Int32",
    "Int64",
    "ListOf",
    "MapOf",
]

T = TypeVar("T")

MAX_ENTRIES: Final = 256
"""Most entries of a map."""

MAX_ITEMS: Final = 4096
"""Most items of a list."""

MAX_KEYS: Final = 4096
"""Most fields of a large body, counting those that are repeated or unknown."""

LARGE_BODY: Final = 256 * 1024
"""Bytes above which a body is read field by field, with an eye on each field's size."""

TEXT_LIMIT: Final = 256 * 1024
"""Bytes of a text, unless it is ASCII: Python takes four bytes for each character of other text, at worst."""

CONTAINER_LIMIT: Final = 1024 * 1024
"""Bytes of a whole list or map."""

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
ListOf = Annotated[list[T], Meta(max_length=MAX_ITEMS)]
MapOf = Annotated[dict[str, T], Meta(max_length=MAX_ENTRIES)]
