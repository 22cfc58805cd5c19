"""Cuts a source into the sentences an answer can be made of, each with the headings and sentences it stands under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from deploy.local.inference.conversation import Source
from deploy.local.inference.terms import split_sentences

__all__ = ["Statement", "statements"]

_HEADING_WORDS: Final = 14
_HEADING_LENGTH: Final = 80
_SENTENCE_WORDS: Final = 4
_ENDS: Final = re.compile(r"[.!?;,][\"')\]]*$|[|:-]$")
_NO_HEADING: Final = re.compile(r"^\s*(?:[-*+|>]|\d+\s+\w)")
_NUMBERING: Final = re.compile(r"^\s*(?:#{1,6}|\d{1,2}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a source.

    Attributes:
        source: Where it stands.
        rank: Place of the source among the sources, from 0.
        text: The sentence.
        heading: The headings above it.
        before: The one or two sentences before it.
    """

    source: Source
    rank: int
    text: str
    heading: str
    before: str

    @property
    def in_context(self) -> str:
        """The sentence under its heading, as it is compared with a question."""
        return f"{self.heading}: {self.text}" if self.heading else self.text


def statements(source: Source, rank: int) -> list[Statement]:
    """Return the sentences of a source, without its headings and scraps."""
    found: list[Statement] = []
    for heading, body in _sections(source.text):
        sentences = split_sentences(body)
        for index, sentence in enumerate(sentences):
            if len(sentence.split()) >= _SENTENCE_WORDS:
                before = " ".join(sentences[max(0, index - 2) : index])
                found.append(Statement(source, rank, sentence, heading or source.title, before))
    return found


def _sections(text: str) -> list[tuple[str, str]]:
    """Return the text in pieces, each with the headings that stand directly above it."""
    sections: list[tuple[list[str], list[str]]] = [([], [])]
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _is_heading(line, following):
            if any(part.strip() for part in sections[-1][1]):
                sections.append(([], []))
            sections[-1][0].append(_NUMBERING.sub("", line).strip())
        else:
            sections[-1][1].append(line)
    return [(" > ".join(headings), "\n".join(body)) for headings, body in sections]


def _is_heading(line: str, following: str) -> bool:
    bare = line.strip()
    if bare.startswith("#"):
        return True
    if not bare or _ENDS.search(bare) or _NO_HEADING.match(bare) or len(bare) > _HEADING_LENGTH:
        return False
    short = len(bare.split()) <= _HEADING_WORDS and not bare[0].islower()
    return short and (not following.strip() or not following.strip()[0].islower())
