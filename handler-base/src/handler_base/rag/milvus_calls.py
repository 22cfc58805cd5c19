"""The blocking calls of pymilvus that the store makes, in the store's own terms.

Everything here runs in a worker thread, the import of pymilvus included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from handler_base.errors import InvalidRequestError
from handler_base.rag.layout import CollectionLayout, FieldDescription, layout_from_fields
from handler_base.rag.milvus_schema import (
    BM25_PARAMS,
    DENSE_FIELD,
    KEY_FIELD,
    SPARSE_FIELD,
    TEXT_ANALYZER,
    TEXT_FIELD,
    VARCHAR_BYTES,
)

__all__ = ["SearchRequest", "connect", "create_collection", "failures", "filter_equal", "read_layout", "search"]

_TYPES: Final = {"FLOAT_VECTOR": "FloatVector", "SPARSE_FLOAT_VECTOR": "SparseFloatVector", "VARCHAR": "VarChar"}
_MIN_CANDIDATES: Final = 20
_CANDIDATES_PER_HIT: Final = 4


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search; a vector, a text or both are given.

    Attributes:
        collection: Name of the collection.
        layout: How it can be searched.
        vector: The embedded question, or None.
        text: The words of the question, or empty.
        limit: Most rows.
        rank_constant: The k of reciprocal rank fusion.
    """

    collection: str
    layout: CollectionLayout
    vector: list[float] | None
    text: str
    limit: int
    rank_constant: int


def connect(uri: str, *, token: str, database: str, timeout: float) -> Any:  # noqa: ANN401 - pymilvus has no types
    """Return a connected `MilvusClient`."""
    from pymilvus import MilvusClient  # noqa: PLC0415 - heavy, see the module

    # It logs a page of traceback for every failed call, which is raised as well.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    name = "" if database == "default" else database
    return MilvusClient(uri, token=token, db_name=name, timeout=timeout)


def failures() -> tuple[type[Exception], ...]:
    """Return what pymilvus raises when a call fails."""
    from pymilvus import MilvusException  # noqa: PLC0415 - heavy, see the module

    return (MilvusException,)


def create_collection(client: Any, collection: str, dimension: int, *, timeout: float) -> None:  # noqa: ANN401
    """Make a collection of our schema with its indexes, loaded."""
    from pymilvus import DataType, Function, FunctionType, MilvusClient  # noqa: PLC0415 - heavy, see the module

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, size in VARCHAR_BYTES.items():
        analyzed = {"enable_analyzer": True, "analyzer_params": TEXT_ANALYZER} if name == TEXT_FIELD else {}
        schema.add_field(name, DataType.VARCHAR, max_length=size, is_primary=name == KEY_FIELD, **analyzed)
    schema.add_field("position", DataType.INT64)
    schema.add_field("page", DataType.INT64)
    schema.add_field(DENSE_FIELD, DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field(SPARSE_FIELD, DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=[TEXT_FIELD],
            output_field_names=[SPARSE_FIELD],
        )
    )
    indexes = client.prepare_index_params()
    indexes.add_index(DENSE_FIELD, index_type="AUTOINDEX", metric_type="COSINE")
    indexes.add_index(SPARSE_FIELD, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=BM25_PARAMS)
    client.create_collection(collection, schema=schema, index_params=indexes, timeout=timeout)


def read_layout(client: Any, collection: str, *, timeout: float) -> tuple[CollectionLayout, frozenset[str]]:  # noqa: ANN401
    """Return how a collection can be searched, and the names of all its fields."""
    described = client.describe_collection(collection, timeout=timeout)
    indexes = [
        client.describe_index(collection, name, timeout=timeout)
        for name in client.list_indexes(collection, timeout=timeout)
    ]
    metrics = {index["field_name"]: str(index.get("metric_type", "")) for index in indexes if index}
    by_function = {
        name
        for function in described.get("functions", ())
        if int(function["type"]) == 1
        for name in function["output_field_names"]
    }
    fields = [_field(field) for field in described["fields"]]
    sparse = (field.name for field in fields if field.type == "SparseFloatVector")
    layout = layout_from_fields(
        fields,
        bm25_fields=[name for name in sparse if name in by_function or metrics.get(name) == "BM25"],
        metrics=metrics,
        dynamic=bool(described.get("enable_dynamic_field")),
    )
    return layout, frozenset(field.name for field in fields)


def search(client: Any, request: SearchRequest, *, timeout: float) -> list[tuple[Mapping[str, Any], float]]:  # noqa: ANN401
    """Return the rows found with their scores, higher is better."""
    layout = request.layout
    text = request.text if layout.sparse_field else ""
    common = {"limit": request.limit, "output_fields": layout.output_fields, "timeout": timeout}
    if request.vector is not None and text:
        return _scored(_hybrid(client, request, common))
    if request.vector is not None:
        found = client.search(request.collection, [request.vector], anns_field=layout.dense_field, **common)
        return [(row, layout.similarity(distance)) for row, distance in _scored(found)]
    if text:
        found = client.search(request.collection, [text], anns_field=layout.sparse_field, **common)
        # Milvus Lite gives BM25 scores a negative sign; BM25 itself is never below zero.
        return [(row, abs(distance)) for row, distance in _scored(found)]
    raise InvalidRequestError("There is nothing to search this collection by.")


def filter_equal(field: str, value: str) -> str:
    """Return the filter for one value of a text field; the value cannot end its quotes."""
    return f"{field} == {json.dumps(value, ensure_ascii=False)}"


def _hybrid(client: Any, request: SearchRequest, common: Mapping[str, Any]) -> Any:  # noqa: ANN401
    from pymilvus import AnnSearchRequest, RRFRanker  # noqa: PLC0415 - heavy, see the module

    depth = max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * request.limit)
    requests = [
        AnnSearchRequest([request.vector], request.layout.dense_field, {}, limit=depth),
        AnnSearchRequest([request.text], request.layout.sparse_field, {}, limit=depth),
    ]
    return client.hybrid_search(request.collection, requests, RRFRanker(request.rank_constant), **common)


def _scored(found: Sequence[Sequence[Any]]) -> list[tuple[Mapping[str, Any], float]]:
    rows = found[0] if found else ()
    return [
        ({**hit["entity"], **{k: v for k, v in hit.items() if k != "entity"}}, float(hit["distance"])) for hit in rows
    ]


def _field(described: Mapping[str, Any]) -> FieldDescription:
    name = described["type"].name
    return FieldDescription(
        name=described["name"],
        type=_TYPES.get(name, name),
        dimension=int(described.get("params", {}).get("dim", 0)),
        primary=bool(described.get("is_primary")),
    )
