"""Text as a database takes it, and as it is searched."""

from __future__ import annotations

import unicodedata

__all__ = ["clean", "fold"]


def clean(text: str) -> str:
    """Return text that every database stores: no NUL, which PostgreSQL refuses, and no half of a surrogate pair."""
    without = text.replace("\x00", "")
    if without.isascii():
        return without
    try:
        without.encode()
    except UnicodeEncodeError:
        # By way of UTF-16, two halves that stand together become the character they are.
        return without.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return without


def fold(text: str) -> str:
    """Return text in which case, width and the way accents are written make no difference."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
