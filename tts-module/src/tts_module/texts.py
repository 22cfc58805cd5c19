"""From the text of a request to the sentences that are spoken."""

from __future__ import annotations

import asyncio
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.speech import speakable, split_sentences

__all__ = ["sentences_of"]

_MOST_CHARS: Final = 240
_LEAST_CHARS: Final = 24
"""Shorter sentences go together with the next: a request for a word costs as much as one for a sentence."""

_QUICK: Final = 2000
"""Characters that are read within a millisecond; more are read beside the event loop."""


async def sentences_of(text: str, language: str) -> list[str]:
    """Return the sentences of a text as they are said, at least one.

    Raises:
        InvalidRequestError: There is nothing in it to say.
    """
    quick = len(text) <= _QUICK
    sentences = _split(text, language) if quick else await asyncio.to_thread(_split, text, language)
    if not sentences:
        raise InvalidRequestError("The text holds nothing to say.")
    return sentences


def _split(text: str, language: str) -> list[str]:
    pieces = split_sentences(speakable(text, language), _MOST_CHARS, _LEAST_CHARS)
    return [piece for piece in pieces if any(map(str.isalnum, piece))]
