"""What each path of the stand-in for Milvus REST v2 does with Milvus Lite; see `milvus_rest_front`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

__all__ = ["OPERATIONS", "Operation", "RestCall", "RestFailure"]

_MAX_WINDOW: Final = 16_384
_TYPE_NAMES: Final = {
    "BOOL": "Bool",
    "INT8": "Int8",
    "INT16": "Int16",
    "INT32": "Int32",
    "INT64": "Int64",
    "FLOAT": "Float",
    "DOUBLE": "Double",
    "VARCHAR": "VarChar",
    "JSON": "JSON",
    "ARRAY": "Array",
    "FLOAT_VECTOR": "FloatVector",
    "SPARSE_FLOAT_VECTOR": "SparseFloatVector",
}


class RestFailure(Exception):  # noqa: N818 - an answer, not a fault of this program
    """An answer with a code other than 0."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a collection."""

    name: str
    type: str
    dimension: int
    primary: bool
    described: Mapping[str, Any]


class Schema:
    """What the stand-in needs to know of a collection."""

    def __init__(self, client: Any, collection: str) -> None:  # noqa: ANN401 - pymilvus has no types
        self.described = client.describe_collection(collection)
        self._client = client
        self._collection = collection
        self.fields = [_field(field) for field in self.described["fields"]]

    @cached_property
    def indexes(self) -> list[Any]:
        """The indexes, as pymilvus describes them."""
        names = self._client.list_indexes(self._collection)
        return [self._client.describe_index(self._collection, name) for name in names]

    @cached_property
    def key(self) -> Field:
        """The primary key."""
        return next(field for field in self.fields if field.primary)

    @cached_property
    def vectors(self) -> dict[str, Field]:
        """The vector fields by name."""
        return {field.name: field for field in self.fields if field.type.endswith("Vector")}

    @cached_property
    def bm25(self) -> frozenset[str]:
        """The fields that a BM25 function fills."""
        return frozenset(name for function in self.described["functions"] for name in function["output_field_names"])

    def vector_field(self, name: str) -> Field:
        """Return the field to search; it may be left out when there is only one."""
        if not name and len(self.vectors) == 1:
            return next(iter(self.vectors.values()))
        if name not in self.vectors:
            raise RestFailure(1801, f"cannot find a vector field named: {name}")
        return self.vectors[name]

    def output_fields(self, wanted: Sequence[str]) -> list[str]:
        """Return the fields that rows of an answer have."""
        if "*" in wanted:
            return [field.name for field in self.fields if field.name not in self.bm25]
        unknown = set(wanted) - {field.name for field in self.fields}
        if unknown and not self.described.get("enable_dynamic_field"):
            raise RestFailure(65535, f"field {min(unknown)} not exist")
        return list(wanted)


@dataclass(frozen=True, slots=True)
class RestCall:
    """One call: the client of Milvus Lite, the body, and whether int64 values go out as strings."""

    client: Any
    body: Mapping[str, Any]
    text_int64: bool

    @property
    def collection(self) -> str:
        """The collection the body names."""
        name = self.body.get("collectionName")
        if not isinstance(name, str) or not name:
            raise RestFailure(1802, "missing required parameters, error: Key: 'CollectionName' is required")
        return name

    def render(self, schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stored values of a row as they go out."""
        wide = {field.name for field in schema.fields if field.type == "Int64"}
        return {
            name: str(value) if self.text_int64 and name in wide and value is not None else value
            for name, value in values.items()
        }


Operation = Callable[[RestCall], dict[str, Any]]


def _list(call: RestCall) -> dict[str, Any]:
    return {"data": list(call.client.list_collections())}


def _has(call: RestCall) -> dict[str, Any]:
    return {"data": {"has": bool(call.client.has_collection(call.collection))}}


def _describe(call: RestCall) -> dict[str, Any]:
    schema = Schema(call.client, call.collection)
    described = schema.described
    return {
        "data": {
            "aliases": [],
            "autoId": bool(described.get("auto_id")),
            "collectionID": described.get("collection_id", 0),
            "collectionName": call.collection,
            "consistencyLevel": "Bounded",
            "description": described.get("description", ""),
            "enableDynamicField": bool(described.get("enable_dynamic_field")),
            "fields": [_described_field(field, number) for number, field in enumerate(schema.fields, 100)],
            "indexes": [
                {"fieldName": index["field_name"], "indexName": index["index_name"], "metricType": index["metric_type"]}
                for index in schema.indexes
            ],
            "load": _load_state(call),
            "partitionsNum": 1,
            "properties": [],
            "shardsNum": 1,
        }
    }


def _get_stats(call: RestCall) -> dict[str, Any]:
    return {"data": {"rowCount": int(call.client.get_collection_stats(call.collection)["row_count"])}}


def _get_load_state(call: RestCall) -> dict[str, Any]:
    if not call.client.has_collection(call.collection):
        raise RestFailure(100, f"collection not found[collection={call.collection}]")
    state = _load_state(call)
    progress = {"loadProgress": 100} if state == "LoadStateLoaded" else {}
    return {"data": {"loadState": state, "message": "", **progress}}


def _load(call: RestCall) -> dict[str, Any]:
    call.client.load_collection(call.collection)
    return {"data": {}}


def _release(call: RestCall) -> dict[str, Any]:
    call.client.release_collection(call.collection)
    return {"data": {}}


def _drop(call: RestCall) -> dict[str, Any]:
    call.client.drop_collection(call.collection)
    return {"data": {}}


def _search(call: RestCall) -> dict[str, Any]:
    schema = Schema(call.client, call.collection)
    field = schema.vector_field(str(call.body.get("annsField") or ""))
    queries = _queries(call.body.get("data"), field, schema)
    limit = _limit(call.body.get("limit", 100), call.body.get("offset", 0))
    fields = schema.output_fields(call.body.get("outputFields") or [])
    found = call.client.search(
        call.collection,
        queries,
        anns_field=field.name,
        filter=str(call.body.get("filter") or ""),
        limit=limit,
        output_fields=fields or [schema.key.name],
    )
    # Milvus Lite gives BM25 scores a negative sign; in Milvus higher is better.
    sign = -1 if field.name in schema.bm25 else 1
    return _hits(call, schema, found, fields, sign)


def _hybrid_search(call: RestCall) -> dict[str, Any]:
    from pymilvus import AnnSearchRequest  # noqa: PLC0415 - heavy, and only where this stand-in runs

    schema = Schema(call.client, call.collection)
    searches = call.body.get("search")
    if not isinstance(searches, list) or not searches:
        raise RestFailure(1802, "missing required parameters, error: Key: 'Search' is required")
    ranker = _ranker(call.body.get("rerank"), len(searches))
    limit = _limit(call.body.get("limit", 100), 0)
    requests = []
    for search in searches:
        field = schema.vector_field(str(search.get("annsField") or ""))
        queries = _queries(search.get("data"), field, schema)
        depth = _limit(search.get("limit", 0), 0)
        # The filter belongs to each search; one beside them is read by nobody, here as in Milvus.
        requests.append(AnnSearchRequest(queries, field.name, {}, limit=depth, expr=search.get("filter") or None))
    fields = schema.output_fields(call.body.get("outputFields") or [])
    found = call.client.hybrid_search(
        call.collection, requests, ranker, limit=limit, output_fields=fields or [schema.key.name]
    )
    return _hits(call, schema, found, fields, 1)


def _query(call: RestCall) -> dict[str, Any]:
    schema = Schema(call.client, call.collection)
    wanted = call.body.get("outputFields") or ["*"]
    fields = list(wanted) if wanted == ["count(*)"] else schema.output_fields(wanted)
    window = {} if wanted == ["count(*)"] else {"limit": _limit(call.body.get("limit", 100), 0)}
    rows = call.client.query(call.collection, filter=str(call.body.get("filter") or ""), output_fields=fields, **window)
    return {"data": [call.render(schema, dict(row)) for row in rows], "cost": 0}


def _ranker(rerank: object, searches: int) -> Any:  # noqa: ANN401 - pymilvus has no types
    from pymilvus import RRFRanker, WeightedRanker  # noqa: PLC0415 - heavy, and only where this stand-in runs

    given = rerank if isinstance(rerank, dict) else {}
    strategy, params = given.get("strategy", ""), given.get("params") or {}
    if strategy == "rrf":
        constant = params.get("k")
        if not isinstance(constant, (int, float)) or not 0 < constant < _MAX_WINDOW:
            raise RestFailure(65535, "the rank params k must be a number in (0, 16384)")
        return RRFRanker(int(constant))
    if strategy == "weighted":
        weights = params.get("weights")
        if not isinstance(weights, list) or len(weights) != searches:
            raise RestFailure(65535, "the length of weights param mismatch with ann search requests")
        return WeightedRanker(*weights)
    raise RestFailure(65535, f"unsupported rank type {strategy}")


def _queries(data: object, field: Field, schema: Schema) -> list[Any]:
    """Return the queries for a field; which form they need depends on the field alone."""
    if not isinstance(data, list) or not data:
        raise RestFailure(1801, "can only accept json format request, error: data is required")
    if field.name in schema.bm25:
        return [query if isinstance(query, str) else str(query) for query in data]
    for query in data:
        if not isinstance(query, list) or len(query) != field.dimension:
            raise RestFailure(1801, f"can only accept json format request, error: dimension: {field.dimension}")
    return data


def _limit(limit: object, offset: object) -> int:
    if not isinstance(limit, int) or not isinstance(offset, int) or not 0 < limit + offset < _MAX_WINDOW or limit < 1:
        raise RestFailure(1100, f"invalid parameter: topk [{limit}] is invalid, it should be in range [1, 16384]")
    return limit


def _hits(
    call: RestCall, schema: Schema, found: Sequence[Sequence[Any]], fields: Sequence[str], sign: int
) -> dict[str, Any]:
    """Return rows flat over all queries, as Milvus does, with how many belong to each."""
    rows: list[dict[str, Any]] = []
    for hits in found:
        for hit in hits:
            values = {**hit["entity"], schema.key.name: hit[schema.key.name]}
            stored = call.render(schema, values)
            key = stored[schema.key.name]
            row = {name: stored[name] for name in fields if name in stored}
            rows.append(row | {"distance": sign * float(hit["distance"]), "id": key})
    return {"cost": 0, "data": rows, "topks": [len(hits) for hits in found]}


def _load_state(call: RestCall) -> str:
    return f"LoadState{call.client.get_load_state(call.collection)['state'].name}"


def _field(described: Mapping[str, Any]) -> Field:
    name = described["type"].name
    return Field(
        name=described["name"],
        type=_TYPE_NAMES.get(name, name),
        dimension=int(described.get("params", {}).get("dim", 0)),
        primary=bool(described.get("is_primary")),
        described=described,
    )


def _described_field(field: Field, number: int) -> dict[str, Any]:
    params = [{"key": key, "value": str(value)} for key, value in field.described.get("params", {}).items()]
    return {
        "autoId": bool(field.described.get("auto_id")),
        "description": field.described.get("description", ""),
        "id": number,
        "name": field.name,
        "partitionKey": False,
        "primaryKey": field.primary,
        "type": field.type,
        **({"params": params} if params else {}),
    }


OPERATIONS: Final[dict[str, Operation]] = {
    "collections/list": _list,
    "collections/has": _has,
    "collections/describe": _describe,
    "collections/get_stats": _get_stats,
    "collections/get_load_state": _get_load_state,
    "collections/load": _load,
    "collections/release": _release,
    "collections/drop": _drop,
    "entities/search": _search,
    "entities/hybrid_search": _hybrid_search,
    "entities/advanced_search": _hybrid_search,
    "entities/query": _query,
}
