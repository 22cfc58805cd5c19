"""Search over Milvus REST v2: the store of the services, with neither gRPC nor pandas in the process.

The embedded question is never parsed: the JSON bytes the embeddings server sent are spliced into the search
request as they are.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from handler_base.clients import HttpEndpoints, RawVector
from handler_base.deadline import Deadline
from handler_base.errors import InvalidRequestError, UpstreamError
from handler_base.rag.layout import CollectionLayout, FieldDescription, hit_from_row, layout_from_fields
from handler_base.rag.milvus_errors import NOT_LOADED, STALE_LAYOUT, error_for_milvus_code
from handler_base.rag.milvus_schema import RANK_CONSTANT
from handler_base.rag.store import CollectionInfo, Hit, check_collection_name, check_dimension, check_limit

__all__ = ["RestVectorStore"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_PREFIX: Final = "/v2/vectordb/"
_HEADERS: Final = {"Content-Type": "application/json", "Accept-Type-Allow-Int64": "true"}
_SEARCH: Final = "entities/search"
_HYBRID_SEARCH: Final = "entities/hybrid_search"
_LOAD_POLL_S: Final = 0.05
_MIN_CANDIDATES: Final = 20
_CANDIDATES_PER_HIT: Final = 4
"""Each ranking is read this much deeper than the fused one, or fusion has little to choose from."""


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Rows(_Status):
    data: list[dict[str, Any]] = []


class _Names(_Status):
    data: list[str] = []


class _KeyValue(msgspec.Struct):
    key: str
    value: Any = ""


class _Field(msgspec.Struct, rename="camel"):
    name: str
    type: str = ""
    primary_key: bool = False
    params: list[_KeyValue] = []


class _Index(msgspec.Struct, rename="camel"):
    field_name: str = ""
    metric_type: str = ""


class _Function(msgspec.Struct, rename="camel"):
    type: Any = ""
    output_field_names: list[str] = []


class _Description(msgspec.Struct, rename="camel"):
    fields: list[_Field] = []
    indexes: list[_Index] = []
    functions: list[_Function] = []
    enable_dynamic_field: bool = False


class _Described(_Status):
    data: _Description = msgspec.field(default_factory=_Description)


class _Count(msgspec.Struct, rename="camel"):
    row_count: int = -1


class _Counted(_Status):
    data: _Count = msgspec.field(default_factory=_Count)


class _LoadState(msgspec.Struct, rename="camel"):
    load_state: str = ""


class _Loaded(_Status):
    data: _LoadState = msgspec.field(default_factory=_LoadState)


_rows = msgspec.json.Decoder(_Rows)
_status = msgspec.json.Decoder(_Status)
_names = msgspec.json.Decoder(_Names)
_described = msgspec.json.Decoder(_Described, strict=False)
_counted = msgspec.json.Decoder(_Counted, strict=False)
_loaded = msgspec.json.Decoder(_Loaded)
_encode = msgspec.json.encode


class RestVectorStore:
    """The search side of a `VectorStore`, over Milvus REST v2.

    Args:
        http: Where Milvus is, with its token as the key; requests go through its breaker, retry budget and deadline.
        database: Database of the collections.
        rank_constant: The k of reciprocal rank fusion.
    """

    def __init__(self, http: HttpEndpoints, *, database: str = "default", rank_constant: int = RANK_CONSTANT) -> None:
        self._http = http
        self._database = database
        self._rank_constant = rank_constant
        self._layouts: dict[str, CollectionLayout] = {}

    @property
    def available(self) -> bool:
        """Whether Milvus answered when it was last called."""
        return self._http.available

    async def open(self) -> None:
        """Do nothing: connections are made, and made again, when a call needs one."""

    async def close(self) -> None:
        """Forget what was learnt; the connections belong to the pool."""
        self._layouts.clear()

    async def describe(self, collection: str, *, deadline: Deadline) -> CollectionInfo:
        """Describe one collection, asking the server anew; see `VectorStore`."""
        layout = await self._describe(collection, deadline)
        counted = await self._call("collections/get_stats", self._named(collection), _counted, deadline)
        return CollectionInfo(
            name=collection,
            dimension=layout.dimension,
            count=counted.data.row_count if counted.code == 0 else -1,
            lexical=bool(layout.sparse_field),
        )

    async def collections(self, *, deadline: Deadline) -> list[str]:
        """Return the names of the collections, sorted."""
        answer = await self._call("collections/list", {"dbName": self._database}, _names, deadline)
        _check(answer)
        return sorted(answer.data)

    async def search(
        self,
        collection: str,
        *,
        vector: RawVector | Sequence[float] | None,
        text: str | None,
        limit: int,
        deadline: Deadline,
    ) -> list[Hit]:
        """Find the passages nearest to a question, best first; see `VectorStore`."""
        check_limit(limit)
        query, dimension = _vector_json(vector)
        known = collection in self._layouts
        layout = await self._layout(collection, dimension, deadline)
        path, body = self._search_request(collection, layout, query, text, limit)
        answer = await self._call(path, body, _rows, deadline)
        if answer.code in NOT_LOADED:
            await self._load(collection, deadline)
            answer = await self._call(path, body, _rows, deadline)
        elif answer.code in STALE_LAYOUT and known:
            layout = await self._describe(collection, deadline)
            check_dimension(dimension or layout.dimension, layout.dimension)
            path, body = self._search_request(collection, layout, query, text, limit)
            answer = await self._call(path, body, _rows, deadline)
        _check(answer)
        by_vector_alone = bool(query) and path == _SEARCH
        return [_hit(row, layout, by_vector_alone=by_vector_alone) for row in answer.data]

    def _search_request(
        self, collection: str, layout: CollectionLayout, query: bytes, text: str | None, limit: int
    ) -> tuple[str, bytes]:
        """Return path and body; the vector's bytes go in as they came."""
        text = text if layout.sparse_field else None
        common = b'"dbName":%b,"collectionName":%b,"limit":%d,"outputFields":%b' % (
            _encode(self._database),
            _encode(collection),
            limit,
            _encode(layout.output_fields),
        )
        if query and text:
            depth = max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * limit)
            searches = b'{"data":[%b],"annsField":%b,"limit":%d},{"data":[%b],"annsField":%b,"limit":%d}' % (
                query,
                _encode(layout.dense_field),
                depth,
                _encode(text),
                _encode(layout.sparse_field),
                depth,
            )
            rerank = b'{"strategy":"rrf","params":{"k":%d}}' % self._rank_constant
            return _HYBRID_SEARCH, b'{%b,"search":[%b],"rerank":%b}' % (common, searches, rerank)
        if query:
            data, field = query, layout.dense_field
        elif text:
            data, field = _encode(text), layout.sparse_field
        else:
            raise InvalidRequestError("There is nothing to search this collection by.")
        return _SEARCH, b'{%b,"data":[%b],"annsField":%b}' % (common, data, _encode(field))

    async def _layout(self, collection: str, dimension: int, deadline: Deadline) -> CollectionLayout:
        """Return the layout, read again when the vector does not fit the one that is known."""
        layout = self._layouts.get(collection)
        if layout is None or (dimension and layout.dimension != dimension):
            layout = await self._describe(collection, deadline)
        if dimension:
            check_dimension(dimension, layout.dimension)
        return layout

    async def _describe(self, collection: str, deadline: Deadline) -> CollectionLayout:
        check_collection_name(collection)
        self._layouts.pop(collection, None)
        answer = await self._call("collections/describe", self._named(collection), _described, deadline)
        _check(answer)
        layout = self._layouts[collection] = _layout_from_description(answer.data)
        return layout

    async def _load(self, collection: str, deadline: Deadline) -> None:
        """Load the collection and wait for it: after a crash Milvus brings collections back released."""
        named = self._named(collection)
        _check(await self._call("collections/load", named, _status, deadline))
        while True:
            state = await self._call("collections/get_load_state", named, _loaded, deadline)
            _check(state)
            if state.data.load_state == "LoadStateLoaded":
                return
            deadline.check()
            await asyncio.sleep(_LOAD_POLL_S)

    def _named(self, collection: str) -> dict[str, str]:
        return {"dbName": self._database, "collectionName": collection}

    async def _call(
        self, path: str, body: bytes | dict[str, str], decoder: msgspec.json.Decoder[_T], deadline: Deadline
    ) -> _T:
        deadline.check()
        headers = {**_HEADERS, "Request-Timeout": str(math.ceil(deadline.remaining()))}
        data = body if isinstance(body, bytes) else _encode(body)
        payload = await self._http.post(_PREFIX + path, data, headers=headers, deadline=deadline)
        try:
            return decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise UpstreamError("The document store answered with something unreadable.") from error


def _check(answer: _Status) -> None:
    """Raise the typed error of an answer that tells of a failure; its words go to the log only."""
    if answer.code != 0:
        error = error_for_milvus_code(answer.code)
        _log.warning("milvus refused a call", extra={"milvus_code": answer.code, "milvus_message": answer.message})
        raise error


def _vector_json(vector: RawVector | Sequence[float] | None) -> tuple[bytes, int]:
    """Return a vector as JSON with its dimension; nothing and 0 for None."""
    if vector is None:
        return b"", 0
    if isinstance(vector, RawVector):
        return vector.json, vector.dimension
    return _encode(list(vector)), len(vector)


def _layout_from_description(description: _Description) -> CollectionLayout:
    metrics = {index.field_name: index.metric_type for index in description.indexes}
    by_function = {
        name
        for function in description.functions
        if function.type in {"BM25", 1, "1"}
        for name in function.output_field_names
    }
    sparse = [field.name for field in description.fields if field.type == "SparseFloatVector"]
    return layout_from_fields(
        [
            FieldDescription(
                name=field.name, type=field.type, dimension=_dimension(field.params), primary=field.primary_key
            )
            for field in description.fields
        ],
        bm25_fields=[name for name in sparse if name in by_function or metrics.get(name) == "BM25"],
        metrics=metrics,
        dynamic=description.enable_dynamic_field,
    )


def _dimension(params: Iterable[_KeyValue]) -> int:
    value = next((param.value for param in params if param.key == "dim"), 0)
    return int(value) if str(value).isdecimal() else 0


def _hit(row: dict[str, Any], layout: CollectionLayout, *, by_vector_alone: bool) -> Hit:
    found = row.get("distance")
    distance = float(found) if isinstance(found, (int, float)) else 0.0
    return hit_from_row(
        row,
        layout,
        key=row.get(layout.key_field, row.get("id", "")),
        score=layout.similarity(distance) if by_vector_alone else distance,
    )
