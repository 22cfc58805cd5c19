"""From an answer as it is written to the pieces in which it is said."""

from __future__ import annotations

from collections.abc import Iterable

from handler_base.speech import ClauseSplitter, SpeakableText

__all__ = ["Script"]


class Script:
    """Cuts an answer into pieces to be said, the first as early as its first clause.

    Args:
        language: Of the answer.
    """

    def __init__(self, language: str) -> None:
        self._speakable = SpeakableText(language)
        self._clauses = ClauseSplitter()

    def feed(self, text: str) -> list[str]:
        """Take the next characters of the answer; return the pieces that they complete."""
        words = self._speakable.feed(text)
        return _sayable(self._clauses.feed(words)) if words else []

    def close(self) -> list[str]:
        """Return what is left; the answer is complete."""
        return _sayable((*self._clauses.feed(self._speakable.close()), *self._clauses.close()))


def _sayable(pieces: Iterable[str]) -> list[str]:
    """Return the pieces with something in them that a voice can say."""
    return [piece for piece in pieces if any(map(str.isalnum, piece))]
