"""A document before it is cut up: where it comes from, what it is called, and its text page by page."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass

from handler_base.errors import InvalidRequestError

__all__ = ["SourceDocument", "digest"]


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as a loader read it.

    Attributes:
        source: Path relative to the ingested root, with ``/``, or a URL: the identity of the document.
        title: Its title; never empty.
        text: Its text, with headings as Markdown writes them and blank lines between paragraphs.
        page_starts: Where each page begins in `text`; empty for a document without pages.
    """

    source: str
    title: str
    text: str
    page_starts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the invariants.

        Raises:
            InvalidRequestError: The source or the title is empty.
        """
        if not self.source or not self.title:
            raise InvalidRequestError("A document needs a source and a title.")

    @property
    def document_id(self) -> str:
        """Identity, the same in every run."""
        return digest("document", self.source)

    def page_at(self, offset: int) -> int:
        """Return the page, from 1, that an offset of the text lies on; 0 where there are no pages."""
        return bisect_right(self.page_starts, offset)


def digest(*parts: str) -> str:
    """Return 32 hex digits that identify the parts; no two lists of parts run together."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hashed.update(len(encoded).to_bytes(8, "big"))
        hashed.update(encoded)
    return hashed.hexdigest()[:32]
