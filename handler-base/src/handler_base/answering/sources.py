"""Passages as the messages of the contract show them."""

from __future__ import annotations

from handler_base.messages import DocumentSource
from handler_base.rag import Hit

__all__ = ["source_of"]


def source_of(hit: Hit) -> DocumentSource:
    """Return a passage as the contract shows it."""
    return DocumentSource(
        text=hit.text,
        score=hit.score,
        document_id=hit.document_id,
        chunk_id=hit.chunk_id,
        title=hit.title,
        source_url=hit.source_url,
        position=hit.position,
        page=hit.page,
    )
