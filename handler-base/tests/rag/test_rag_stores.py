"""What every vector store does, run against each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler_base.clients import HttpEndpoints, HttpPool, RawVector
from handler_base.deadline import Deadline
from handler_base.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    UpstreamUnavailableError,
)
from handler_base.rag import Chunk, PyMilvusStore, RestVectorStore, VectorStore, WritableVectorStore
from handler_base.testing.milvus import MilvusLite, MilvusRestFront

if TYPE_CHECKING:
    from pymilvus import MilvusClient

DIMENSION = 4
UnitVector = Callable[[int], list[float]]


@pytest.fixture(params=["rest", "grpc"])
def store(request: pytest.FixtureRequest) -> VectorStore:
    made: VectorStore = request.getfixturevalue(f"{request.param}_store")
    return made


async def test_a_vector_alone_ranks_by_similarity(
    store: VectorStore, unit: UnitVector, shared: str, deadline: Deadline
) -> None:
    hits = await store.search(shared, vector=unit(1), text=None, limit=3, deadline=deadline)

    assert hits[0].chunk_id == "chunk-1"
    assert len(hits) == 3
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_a_hit_carries_all_that_was_stored(
    store: VectorStore, unit: UnitVector, shared: str, island_chunks: list[Chunk], deadline: Deadline
) -> None:
    (hit,) = await store.search(shared, vector=unit(3), text=None, limit=1, deadline=deadline)

    assert (hit.document_id, hit.text, hit.title) == ("document-1", island_chunks[3].text, "Title 1")
    assert (hit.source_url, hit.position, hit.page) == ("island/1.md", 1, 1)


async def test_an_unparsed_vector_finds_the_same(store: VectorStore, shared: str, deadline: Deadline) -> None:
    raw = RawVector(b"[0.01, 1.0,\n0.02e0, 0.03]", 4)

    hits = await store.search(shared, vector=raw, text=None, limit=1, deadline=deadline)

    assert hits[0].chunk_id == "chunk-1"


async def test_words_alone_rank_by_bm25(store: VectorStore, shared: str, deadline: Deadline) -> None:
    hits = await store.search(shared, vector=None, text="Where do bees find honey?", limit=3, deadline=deadline)

    assert [hit.chunk_id for hit in hits] == ["chunk-2"]
    assert hits[0].score > 0


async def test_both_are_fused(store: VectorStore, unit: UnitVector, shared: str, deadline: Deadline) -> None:
    hits = await store.search(shared, vector=unit(0), text="ship logs", limit=2, deadline=deadline)

    assert {hit.chunk_id for hit in hits} == {"chunk-0", "chunk-3"}
    assert all(0 < hit.score <= 0.5 for hit in hits), "reciprocal ranks, not similarities"


async def test_stop_words_match_nothing(store: VectorStore, shared: str, deadline: Deadline) -> None:
    assert await store.search(shared, vector=None, text="what is the", limit=3, deadline=deadline) == []


async def test_a_question_with_quotes_and_brackets_is_only_words(
    store: VectorStore, unit: UnitVector, shared: str, deadline: Deadline
) -> None:
    text = '"]},"limit":1,{"honey\\ \u0000 \U0001f41d'

    hits = await store.search(shared, vector=unit(2), text=text, limit=4, deadline=deadline)

    assert hits[0].chunk_id == "chunk-2"
    assert len(hits) == 4


async def test_describe_tells_dimension_count_and_search(store: VectorStore, shared: str, deadline: Deadline) -> None:
    info = await store.describe(shared, deadline=deadline)

    assert (info.name, info.dimension, info.count, info.lexical) == (shared, DIMENSION, 4, True)


async def test_collections_are_listed_sorted(store: VectorStore, shared: str, deadline: Deadline) -> None:
    names = await store.collections(deadline=deadline)

    assert shared in names
    assert names == sorted(names)


async def test_an_unknown_collection_is_not_found(store: VectorStore, unit: UnitVector, deadline: Deadline) -> None:
    with pytest.raises(NotFoundError):
        await store.search("nowhere", vector=unit(0), text=None, limit=1, deadline=deadline)
    with pytest.raises(NotFoundError):
        await store.describe("nowhere", deadline=deadline)


@pytest.mark.parametrize("name", ["", "1st", "a b", 'x" or "', "a" * 256, "../x", "é"])
async def test_a_strange_collection_name_is_refused(
    store: VectorStore, unit: UnitVector, deadline: Deadline, name: str
) -> None:
    with pytest.raises(InvalidRequestError):
        await store.search(name, vector=unit(0), text=None, limit=1, deadline=deadline)


async def test_a_vector_of_another_model_is_refused(store: VectorStore, shared: str, deadline: Deadline) -> None:
    with pytest.raises(InternalError, match="3 dimensions where the collection has 4"):
        await store.search(shared, vector=[1.0, 0.0, 0.0], text="honey", limit=1, deadline=deadline)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_out_of_range_is_refused(
    store: VectorStore, unit: UnitVector, shared: str, deadline: Deadline, limit: int
) -> None:
    with pytest.raises(InvalidRequestError):
        await store.search(shared, vector=unit(0), text=None, limit=limit, deadline=deadline)


async def test_nothing_to_search_by_is_refused(store: VectorStore, shared: str, deadline: Deadline) -> None:
    with pytest.raises(InvalidRequestError):
        await store.search(shared, vector=None, text="", limit=1, deadline=deadline)


async def test_a_released_collection_is_loaded_again(
    store: VectorStore, unit: UnitVector, filled: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    lite_client.release_collection(filled)

    hits = await store.search(filled, vector=unit(1), text="ferry", limit=1, deadline=deadline)

    assert hits[0].chunk_id == "chunk-1"


async def test_a_deadline_that_passed_costs_no_call(store: VectorStore, unit: UnitVector, shared: str) -> None:
    with pytest.raises(DeadlineExceededError):
        await store.search(shared, vector=unit(1), text=None, limit=1, deadline=Deadline.after(timedelta(0)))


async def test_a_collection_made_again_with_another_dimension_is_noticed(
    *,
    store: VectorStore,
    unit: UnitVector,
    filled: str,
    deadline: Deadline,
    lite_client: MilvusClient,
    grpc_store: PyMilvusStore,
) -> None:
    await store.search(filled, vector=unit(1), text=None, limit=1, deadline=deadline)
    lite_client.drop_collection(filled)
    await grpc_store.create_collection(filled, 2, deadline=deadline)

    assert await store.search(filled, vector=[1.0, 0.0], text=None, limit=1, deadline=deadline) == []


async def test_a_collection_made_again_by_others_is_noticed(
    store: VectorStore, unit: UnitVector, filled: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    await store.search(filled, vector=unit(1), text="ferry", limit=1, deadline=deadline)
    lite_client.drop_collection(filled)
    _make_foreign(lite_client, filled, unit)

    hits = await store.search(filled, vector=unit(1), text="ferry", limit=1, deadline=deadline)

    assert hits[0].text == "the second"


async def test_a_dropped_collection_is_not_found(
    store: VectorStore, unit: UnitVector, filled: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    await store.search(filled, vector=unit(1), text=None, limit=1, deadline=deadline)
    lite_client.drop_collection(filled)

    with pytest.raises(NotFoundError):
        await store.search(filled, vector=unit(1), text=None, limit=1, deadline=deadline)


async def test_a_collection_that_others_made_is_searched_by_vector(
    store: VectorStore, unit: UnitVector, collection: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    _make_foreign(lite_client, collection, unit)

    hits = await store.search(collection, vector=unit(1), text="words", limit=2, deadline=deadline)
    info = await store.describe(collection, deadline=deadline)

    assert (hits[0].chunk_id, hits[0].text, hits[0].document_id) == (
        "9007199254740995",
        "the second",
        "9007199254740995",
    )
    assert hits[0].page == 0
    assert info.lexical is False
    with pytest.raises(InvalidRequestError):
        await store.search(collection, vector=None, text="words", limit=2, deadline=deadline)


async def test_a_distance_becomes_a_score(
    store: VectorStore, unit: UnitVector, collection: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    _make_foreign(lite_client, collection, unit, metric="L2")

    hits = await store.search(collection, vector=unit(1), text=None, limit=2, deadline=deadline)

    assert hits[0].text == "the second"
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert hits[1].score < hits[0].score


async def test_a_collection_without_text_cannot_be_searched(
    store: VectorStore, unit: UnitVector, collection: str, deadline: Deadline, lite_client: MilvusClient
) -> None:
    from pymilvus import DataType

    schema = lite_client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    lite_client.create_collection(collection, schema=schema)

    with pytest.raises(InvalidRequestError, match="no text"):
        await store.search(collection, vector=unit(1), text=None, limit=2, deadline=deadline)


async def test_many_searches_at_once(store: VectorStore, unit: UnitVector, shared: str, deadline: Deadline) -> None:
    searches = (
        store.search(shared, vector=unit(number % 4), text=None, limit=1, deadline=deadline) for number in range(40)
    )

    found = await asyncio.gather(*searches)

    assert [hits[0].chunk_id for hits in found] == [f"chunk-{number % 4}" for number in range(40)]


def _make_foreign(client: MilvusClient, name: str, unit: UnitVector, metric: str = "COSINE") -> None:
    """A collection as other tools make it: int64 key, `content`, a dynamic field, no sparse vectors."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("content", DataType.VARCHAR, max_length=100)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
    indexes = client.prepare_index_params()
    indexes.add_index("embedding", index_type="AUTOINDEX", metric_type=metric)
    client.create_collection(name, schema=schema, index_params=indexes)
    texts = ("the first", "the second")
    client.insert(
        name,
        [
            {"pk": 9007199254740994 + number, "content": text, "embedding": unit(number), "page": "x"}
            for number, text in enumerate(texts)
        ],
    )


async def test_a_store_that_is_away_is_unavailable_and_comes_back(
    tmp_path: Path, pool: HttpPool, deadline: Deadline
) -> None:
    server = MilvusLite(tmp_path)
    grpc = PyMilvusStore(server.uri)
    await grpc.open()
    try:
        with pytest.raises(UpstreamUnavailableError):
            await grpc.collections(deadline=deadline)
        states = [grpc.available]
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            while "kb" not in await _created(grpc, deadline):  # noqa: ASYNC110 - another process: no event to wait for
                await asyncio.sleep(0.05)
        assert [*states, grpc.available] == [False, True]
        async with MilvusRestFront(server.uri) as front:
            rest = RestVectorStore(HttpEndpoints("milvus", [front.url], pool=pool))
            assert await rest.collections(deadline=deadline) == ["kb"]
            assert rest.available is True
        with pytest.raises(UpstreamUnavailableError):
            await rest.collections(deadline=deadline)
    finally:
        await grpc.close()
        await asyncio.to_thread(server.kill)


async def _created(store: PyMilvusStore, deadline: Deadline) -> list[str]:
    """Make the collection as soon as the server can be reached: its channel comes back with a delay of its own."""
    try:
        await store.create_collection("kb", DIMENSION, deadline=deadline)
    except UpstreamUnavailableError:
        return []
    return await store.collections(deadline=deadline)


def test_both_fit_the_protocol() -> None:
    grpc: WritableVectorStore = PyMilvusStore("http://127.0.0.1:1")
    assert isinstance(grpc, WritableVectorStore)
