"""How many tokens a text is, roughly and fast: budgets must hold for models whose tokenizer nobody here has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["TokenCounter", "estimate_encoded", "estimate_tokens", "truncate_tokens"]

TokenCounter = Callable[[str], int]
"""Counts the tokens of a text; `estimate_tokens` unless a service has the model's own counter."""

_PER_TOKEN: Final = 18
_PER_CHARACTER: Final = 5
_PER_EXTRA_BYTE: Final = 9
"""A token has 3.6 characters, or two bytes beyond one a character: in whole numbers, which are counted quicker."""


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text by its length in characters and in UTF-8 bytes.

    English prose has 4 to 5 characters a token with the vocabularies of current models, so the estimate lies up
    to 40 % above the count; source code, numbers and long identifiers have 2.5 to 4, so it lies up to 30 % below.
    Each byte beyond one a character counts half a token, which brings Cyrillic to 0.8 and Chinese to 1.3 tokens
    a character, at or above what current models need. The estimate of a text is never above its UTF-8 length,
    nor below that of a part of it.

    Args:
        text: Any text.

    Returns:
        At least 1, for a text that is not empty.
    """
    characters = len(text)
    extra = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - characters
    return -(-(_PER_CHARACTER * characters + _PER_EXTRA_BYTE * extra) // _PER_TOKEN)


def estimate_encoded(text: bytes) -> int:
    """Estimate the tokens of a text in UTF-8, as `estimate_tokens` does."""
    if text.isascii():
        return -(-_PER_CHARACTER * len(text) // _PER_TOKEN)
    return estimate_tokens(text.decode("utf-8", "replace"))


def truncate_tokens(text: str, limit: int, count: TokenCounter = estimate_tokens) -> str:
    """Return the longest beginning of a text that is within `limit` tokens, cut between words where it can be.

    Args:
        text: Any text.
        limit: Most tokens; nothing is left at 0.
        count: How tokens are counted; must not fall when a text grows.
    """
    if count(text) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    cut = text[:low]
    if low < len(text) and not text[low].isspace():
        words = cut.rstrip()
        space = max(words.rfind(" "), words.rfind("\n"))
        # A text without spaces, such as Chinese, is cut between characters rather than lost.
        cut = cut[:space] if space > low // 2 else cut
    return cut.rstrip()
