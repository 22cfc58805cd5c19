"""All of a vector store over gRPC, by pymilvus: ingestion, administration, and search in Milvus Lite.

pymilvus brings grpc, pandas and numpy, some 77 MB and more than a second: a store that is opened begins to import it
in a worker thread, so a process that searches over REST never pays for it, and the first call does not wait for all
of it. Its calls block; they run in threads of this store's own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from handler_base.clients import RawVector
from handler_base.deadline import Deadline
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InvalidRequestError,
    NotFoundError,
    UpstreamError,
    UpstreamUnavailableError,
)
from handler_base.rag import milvus_calls
from handler_base.rag.layout import CollectionLayout, hit_from_row
from handler_base.rag.milvus_errors import NOT_LOADED, error_for_milvus_code
from handler_base.rag.milvus_schema import DENSE_FIELD, KEY_FIELD, RANK_CONSTANT, SPARSE_FIELD, VARCHAR_BYTES, row_of
from handler_base.rag.store import (
    Chunk,
    CollectionInfo,
    Hit,
    StoredChunk,
    check_collection_name,
    check_dimension,
    check_limit,
)
from handler_base.telemetry import metrics

__all__ = ["PyMilvusStore"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Call = Callable[[Any, float], _T]
"""A blocking call: takes the client and the seconds that are left."""

_OUR_FIELDS: Final = frozenset({*VARCHAR_BYTES, "position", "page", DENSE_FIELD, SPARSE_FIELD})
_MAX_ROWS: Final = 16_383
"""Most rows Milvus returns to one query."""


class PyMilvusStore:
    """A `WritableVectorStore` on Milvus or Milvus Lite over gRPC.

    Args:
        uri: Such as ``http://localhost:19530``.
        token: `user:password` or an API token; empty where Milvus asks for none.
        database: Database of the collections.
        rank_constant: The k of reciprocal rank fusion.
        threads: Most calls at once.
    """

    def __init__(
        self,
        uri: str,
        *,
        token: str = "",
        database: str = "default",
        rank_constant: int = RANK_CONSTANT,
        threads: int = 8,
    ) -> None:
        self._uri = uri
        self._token = token
        self._database = database
        self._rank_constant = rank_constant
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None
        self._client: Any = None
        self._available = True
        self._connecting = threading.Lock()
        self._layouts: dict[str, CollectionLayout] = {}

    @property
    def available(self) -> bool:
        """Whether Milvus answered when it was last called."""
        return self._available

    async def open(self) -> None:
        """Start the threads, one of which begins to import pymilvus; the connection is made with the first call."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="milvus")
            self._executor.submit(_import_ahead)

    async def close(self) -> None:
        """Close the connection and end the threads, waiting for calls that run and for the import."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        await asyncio.get_running_loop().run_in_executor(executor, self._disconnect)
        await asyncio.to_thread(executor.shutdown)
        self._layouts.clear()

    async def describe(self, collection: str, *, deadline: Deadline) -> CollectionInfo:
        """Describe one collection, asking the server anew; see `VectorStore`."""
        layout = await self._describe(collection, deadline)
        stats = await self._run(lambda client, left: client.get_collection_stats(collection, timeout=left), deadline)
        return CollectionInfo(
            name=collection,
            dimension=layout.dimension,
            count=int(stats.get("row_count", -1)),
            lexical=bool(layout.sparse_field),
        )

    async def collections(self, *, deadline: Deadline) -> list[str]:
        """Return the names of the collections, sorted."""
        return sorted(await self._run(lambda client, left: client.list_collections(timeout=left), deadline))

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
        values = _floats(vector)
        layout = self._layouts.get(collection)
        if layout is None or (values is not None and layout.dimension != len(values)):
            layout = await self._describe(collection, deadline)
        request = milvus_calls.SearchRequest(collection, layout, values, text or "", limit, self._rank_constant)
        try:
            return await self._search(request, deadline)
        except (NotFoundError, UpstreamError):
            # What was known of the collection may be out of date: it was dropped, or made again with other fields.
            layout = await self._describe(collection, deadline)
            if layout == request.layout:
                raise
            return await self._search(replace(request, layout=layout), deadline)

    async def create_collection(self, collection: str, dimension: int, *, deadline: Deadline) -> CollectionInfo:
        """Make the collection unless it exists; see `WritableVectorStore`."""
        check_collection_name(collection)
        if dimension < 1:
            raise InvalidRequestError("The dimension of a collection is at least 1.")
        try:
            await self._run(
                lambda client, left: milvus_calls.create_collection(client, collection, dimension, timeout=left),
                deadline,
            )
        except FleetError:
            # Somebody else may have made it, before or meanwhile; describing it tells.
            if collection not in await self.collections(deadline=deadline):
                raise
        await self._check_ours(collection, dimension, deadline)
        return await self.describe(collection, deadline=deadline)

    async def upsert(
        self, collection: str, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]], *, deadline: Deadline
    ) -> None:
        """Write chunks with their vectors; see `WritableVectorStore`."""
        if len(chunks) != len(vectors):
            raise InvalidRequestError("Every chunk needs exactly one vector.")
        layout = self._layouts.get(collection) or await self._describe(collection, deadline)
        for vector in vectors:
            check_dimension(len(vector), layout.dimension)
        rows = [row_of(chunk, vector) for chunk, vector in zip(chunks, vectors, strict=True)]
        if rows:
            await self._run(lambda client, left: client.upsert(collection, rows, timeout=left), deadline, collection)

    async def stored_chunks(self, collection: str, document_id: str, *, deadline: Deadline) -> list[StoredChunk]:
        """Return what is stored of one document; see `WritableVectorStore`."""
        condition = milvus_calls.filter_equal("document_id", document_id)
        fields = [KEY_FIELD, "content_hash"]
        rows = await self._run(
            lambda client, left: client.query(
                collection,
                filter=condition,
                output_fields=fields,
                limit=_MAX_ROWS,
                timeout=left,
                consistency_level="Strong",
            ),
            deadline,
            collection,
        )
        return [StoredChunk(str(row[KEY_FIELD]), str(row.get("content_hash", ""))) for row in rows]

    async def delete_chunks(self, collection: str, chunk_ids: Sequence[str], *, deadline: Deadline) -> None:
        """Delete chunks by id; see `WritableVectorStore`."""
        ids = list(chunk_ids)
        if ids:
            await self._run(lambda client, left: client.delete(collection, ids=ids, timeout=left), deadline, collection)

    async def delete_document(self, collection: str, document_id: str, *, deadline: Deadline) -> None:
        """Delete every chunk of one document."""
        condition = milvus_calls.filter_equal("document_id", document_id)
        await self._run(
            lambda client, left: client.delete(collection, filter=condition, timeout=left), deadline, collection
        )

    async def flush(self, collection: str, *, deadline: Deadline) -> None:
        """Make what was written durable and fast to search."""
        await self._run(lambda client, left: client.flush(collection, timeout=left), deadline)

    async def _search(self, request: milvus_calls.SearchRequest, deadline: Deadline) -> list[Hit]:
        layout = request.layout
        if request.vector is not None:
            check_dimension(len(request.vector), layout.dimension)
        rows = await self._run(
            lambda client, left: milvus_calls.search(client, request, timeout=left), deadline, request.collection
        )
        return [hit_from_row(row, layout, key=row.get(layout.key_field, ""), score=score) for row, score in rows]

    async def _check_ours(self, collection: str, dimension: int, deadline: Deadline) -> None:
        layout, fields = await self._run(
            lambda client, left: milvus_calls.read_layout(client, collection, timeout=left), deadline
        )
        if layout.dimension != dimension:
            raise InvalidRequestError(
                f"The collection exists with {layout.dimension} dimensions; the embeddings have {dimension}."
            )
        if not fields >= _OUR_FIELDS:
            raise InvalidRequestError("The collection exists with another schema; documents cannot be written to it.")

    async def _describe(self, collection: str, deadline: Deadline) -> CollectionLayout:
        check_collection_name(collection)
        self._layouts.pop(collection, None)
        layout, _ = await self._run(
            lambda client, left: milvus_calls.read_layout(client, collection, timeout=left), deadline
        )
        self._layouts[collection] = layout
        return layout

    async def _run(self, call: _Call[_T], deadline: Deadline, load: str = "") -> _T:
        """Run a blocking call in a thread; with `load`, load that collection and try again when it is released."""
        deadline.check()
        if self._executor is None:
            raise UpstreamUnavailableError("The document store is not open.")
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, call, deadline, load)
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await future
        except TimeoutError as error:
            raise DeadlineExceededError from error

    def _guarded(self, call: _Call[_T], deadline: Deadline, load: str) -> _T:
        """Connect where needed, call, and turn what pymilvus raises into typed errors."""
        failures = milvus_calls.failures()
        try:
            result = self._called(call, deadline, load, failures)
        except failures as error:
            typed = _typed(error)
            self._available = not isinstance(typed, UpstreamUnavailableError)
            raise typed from error
        self._available = True
        return result

    def _called(self, call: _Call[_T], deadline: Deadline, load: str, failures: tuple[type[Exception], ...]) -> _T:
        client = self._connected(deadline.remaining())
        try:
            return call(client, deadline.remaining())
        except failures as error:
            if not load or _code(error) not in NOT_LOADED:
                raise
            # After a crash Milvus brings collections back released.
            client.load_collection(load, timeout=deadline.remaining())
            return call(client, deadline.remaining())

    def _connected(self, left: float) -> Any:  # noqa: ANN401 - pymilvus has no types
        with self._connecting:
            if self._client is None:
                self._client = milvus_calls.connect(self._uri, token=self._token, database=self._database, timeout=left)
            return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _import_ahead() -> None:
    try:
        milvus_calls.failures()
    except Exception as error:  # noqa: BLE001 - an import may raise anything; each call tries again and raises it
        metrics.SWALLOWED_ERRORS.of("milvus_import").inc()
        _log.warning("pymilvus cannot be imported", extra={"error": repr(error)})


def _typed(error: Exception) -> FleetError:
    code = _code(error)
    _log.warning("milvus refused a call", extra={"milvus_code": code, "error": type(error).__name__})
    return UpstreamError("The document store answered with an error.") if code < 0 else error_for_milvus_code(code)


def _code(error: Exception) -> int:
    """Return the Milvus code of an exception of pymilvus; -1 for any other."""
    code = getattr(error, "code", -1)
    return code if isinstance(code, int) else -1


def _floats(vector: RawVector | Sequence[float] | None) -> list[float] | None:
    if vector is None:
        return None
    if isinstance(vector, RawVector):
        return msgspec.json.decode(vector.json, type=list[float])
    return [float(value) for value in vector]
