"""The passages an answer rests on, as they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from handler_base.cli.terminal import clean_line, print_text
from handler_base.messages import DocumentSource

__all__ = ["print_sources"]

_SNIPPET: Final = 100


def print_sources(sources: Sequence[DocumentSource]) -> None:
    """Print sources under the numbers by which the answer cites them; nothing where there are none."""
    if not sources:
        return
    print_text("\nSources")
    for number, source in enumerate(sources, 1):
        print_text(_source_line(number, source))


def _source_line(number: int, source: DocumentSource) -> str:
    name = source.title or source.source_url or source.document_id or "untitled"
    where = source.source_url if source.source_url != name else ""
    page = f"page {source.page}" if source.page else ""
    identity = source.chunk_id or source.document_id
    details = ", ".join(part for part in (where, page, f"id {identity}" if identity else "") if part)
    line = f"  [{number}] {source.score:.3f}  {name}" + (f"  ({details})" if details else "")
    return f"{clean_line(line)}\n        {clean_line(source.text, _SNIPPET)}".rstrip()
