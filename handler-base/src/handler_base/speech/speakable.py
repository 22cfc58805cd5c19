"""What of an answer can be said aloud, and how: Markdown in, the words of a voice out.

In English numbers, dates, amounts, units, abbreviations and symbols become words. In other languages the markup goes
and the rest is left to the speech server, which knows their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handler_base.speech import markup
from handler_base.speech.markup import PlainText

if TYPE_CHECKING:
    from handler_base.speech.english import EnglishWords

__all__ = ["MOST_HELD", "SpeakableText", "speakable"]

MOST_HELD: Final = markup.MOST_HELD + 192
"""Characters that `SpeakableText` holds back at most."""

_SHORT: Final = 32


class SpeakableText:
    """Makes an answer speakable while it is written; however it is cut, the pieces add up to the same words.

    What comes out is complete words: the last one is held back, and with a number the words behind it that may belong
    to it; never more than `MOST_HELD` characters.

    Args:
        language: Language tag of the answer. ``en``, with any region, is said in words; with a region other than the
            United States the day of 3/4/2026 comes first.
    """

    def __init__(self, language: str = "en") -> None:
        self._plain = PlainText()
        self._words = _words_of(language)
        self._waiting = ""

    @property
    def held(self) -> int:
        """Characters held back now."""
        return len(self._waiting) + self._plain.held + (self._words.held if self._words else 0)

    def feed(self, piece: str) -> str:
        """Take the next piece of the answer; return what can be said."""
        self._waiting += piece
        # Within a word nothing can be said, and most pieces of a stream are less than a word.
        if len(self._waiting) < _SHORT and not any(map(self._waiting.__contains__, " \n")):
            return ""
        piece, self._waiting = self._waiting, ""
        plain = self._plain.feed(piece)
        return self._words.feed(plain) if self._words and plain else plain

    def close(self) -> str:
        """Return what was held back; the answer is complete."""
        piece, self._waiting = self._waiting, ""
        plain = self._plain.feed(piece) + self._plain.close()
        return self._words.feed(plain) + self._words.close() if self._words else plain


def speakable(text: str, language: str = "en") -> str:
    """Return the words of an answer as they are said: no markup, and in English no digits, units or symbols."""
    whole = SpeakableText(language)
    return whole.feed(text) + whole.close()


def _words_of(language: str) -> EnglishWords | None:
    tag = language.lower().replace("_", "-")
    if tag and tag.partition("-")[0] not in {"en", "eng", "english"}:
        return None
    # Loaded at the first use: its tables and patterns cost a service that never speaks.
    from handler_base.speech.english import EnglishWords  # noqa: PLC0415

    return EnglishWords(day_first="-" in tag and not tag.endswith("-us"))
