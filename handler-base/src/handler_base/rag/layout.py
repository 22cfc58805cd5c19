"""Where a collection keeps what a hit needs: our own schema, and what can be made of other people's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from handler_base.errors import InvalidRequestError
from handler_base.rag.store import Hit

__all__ = ["CollectionLayout", "FieldDescription", "hit_from_row", "layout_from_fields"]

_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text", "content", "page_content"),
    "document_id": ("document_id", "doc_id"),
    "title": ("title",),
    "source_url": ("source_url", "source", "url"),
    "position": ("position", "chunk_index"),
    "page": ("page", "page_number"),
}
"""What each attribute of a hit is called in collections that others made, ours first."""

_DENSE_NAMES: Final = ("dense", "vector", "embedding")


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field, as either API describes it.

    Attributes:
        name: Name of the field.
        type: `VarChar`, `Int64`, `FloatVector`, `SparseFloatVector`, ... as Milvus spells them.
        dimension: Length of a dense vector; 0 for other fields.
        primary: Whether this is the primary key.
    """

    name: str
    type: str
    dimension: int = 0
    primary: bool = False


@dataclass(frozen=True, slots=True)
class CollectionLayout:
    """The names to search by and to read from.

    Attributes:
        dimension: Length of the dense vectors.
        dense_field: Name of the dense vector field.
        sparse_field: Name of the field a BM25 function fills; empty where there is none.
        metric: Metric of the dense index, upper case.
        key_field: Name of the primary key.
        columns: Name of the stored field by attribute of `Hit`.
    """

    dimension: int
    dense_field: str
    sparse_field: str
    metric: str
    key_field: str
    columns: Mapping[str, str]

    @property
    def output_fields(self) -> list[str]:
        """The fields a search must return."""
        return list(dict.fromkeys((self.key_field, *self.columns.values())))

    def similarity(self, distance: float) -> float:
        """Turn a distance by the dense index's metric into a score where higher is better."""
        return 1 / (1 + distance) if self.metric == "L2" else distance


def layout_from_fields(
    fields: Sequence[FieldDescription], *, bm25_fields: Sequence[str], metrics: Mapping[str, str], dynamic: bool
) -> CollectionLayout:
    """Find out how a collection can be searched.

    Args:
        fields: Its fields.
        bm25_fields: Sparse fields that a BM25 function fills.
        metrics: Metric by field, as far as known.
        dynamic: Whether rows may hold fields that the schema does not name.

    Raises:
        InvalidRequestError: The collection has no dense vectors, or no text to quote.
    """
    names = {field.name for field in fields}
    dense = sorted((field for field in fields if field.type == "FloatVector"), key=_dense_preference)
    columns = {
        attribute: next((alias for alias in aliases if alias in names), aliases[0] if dynamic else "")
        for attribute, aliases in _ALIASES.items()
    }
    if not dense or not columns["text"]:
        raise InvalidRequestError("The collection has no dense vectors or no text, so it cannot be searched.")
    return CollectionLayout(
        dimension=dense[0].dimension,
        dense_field=dense[0].name,
        sparse_field=next(iter(sorted(bm25_fields)), ""),
        metric=metrics.get(dense[0].name, "COSINE").upper(),
        key_field=next((field.name for field in fields if field.primary), "id"),
        columns={attribute: column for attribute, column in columns.items() if column},
    )


def hit_from_row(row: Mapping[str, Any], layout: CollectionLayout, *, key: object, score: float) -> Hit:
    """Make a hit of a row of any origin; what is missing or of a strange type becomes the empty value."""
    column = layout.columns.get
    chunk_id = key if isinstance(key, str) else str(key)
    return Hit(
        chunk_id=chunk_id,
        document_id=_text(row.get(column("document_id", ""))) or chunk_id,
        text=_text(row.get(column("text", ""))),
        title=_text(row.get(column("title", ""))),
        source_url=_text(row.get(column("source_url", ""))),
        position=_number(row.get(column("position", ""))),
        page=_number(row.get(column("page", ""))),
        score=score,
    )


def _dense_preference(field: FieldDescription) -> int:
    return _DENSE_NAMES.index(field.name) if field.name in _DENSE_NAMES else len(_DENSE_NAMES)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def _number(value: object) -> int:
    """Read an integer; Milvus may send int64 as a string."""
    if isinstance(value, int):
        return max(0, value)
    if isinstance(value, float):
        return max(0, int(value)) if math.isfinite(value) else 0
    return int(value) if isinstance(value, str) and value.isdecimal() else 0
