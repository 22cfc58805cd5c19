"""The stand-in for Milvus REST v2 answers as the official API does, its traps included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from handler_base.rag import Chunk
from handler_base.testing.milvus import MilvusRestFront

UnitVector = Callable[[int], list[float]]
DENSE = {"annsField": "dense", "limit": 3}
WORDS = {"annsField": "sparse", "limit": 3}
RRF = {"strategy": "rrf", "params": {"k": 60}}


class Caller:
    """Posts to the front."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def post(
        self, path: str, body: object, headers: dict[str, str] | None = None, status: int = 200
    ) -> dict[str, Any]:
        async with self._session.post(f"{self._url}/v2/vectordb/{path}", json=body, headers=headers) as response:
            assert response.status == status
            answer: dict[str, Any] = await response.json()
            return answer


@pytest.fixture
async def caller(front: MilvusRestFront) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, front.url)


async def test_search_rows_are_flat_with_id_and_distance(caller: Caller, shared: str, unit: UnitVector) -> None:
    body = {"collectionName": shared, "data": [unit(0), unit(2)], "outputFields": ["title"], **DENSE, "limit": 2}

    answer = await caller.post("entities/search", body)

    assert answer["code"] == 0
    assert answer["topks"] == [2, 2]
    assert isinstance(answer["cost"], int)
    assert [row["id"] for row in answer["data"][::2]] == ["chunk-0", "chunk-2"]
    assert set(answer["data"][0]) == {"id", "distance", "title"}


async def test_without_output_fields_only_id_and_distance_come(caller: Caller, shared: str, unit: UnitVector) -> None:
    answer = await caller.post("entities/search", {"collectionName": shared, "data": [unit(0)], **DENSE})

    assert all(set(row) == {"id", "distance"} for row in answer["data"])


async def test_all_fields_but_those_of_functions(caller: Caller, shared: str, unit: UnitVector) -> None:
    body = {"collectionName": shared, "data": [unit(0)], "outputFields": ["*"], **DENSE}

    row = (await caller.post("entities/search", body))["data"][0]

    assert {"chunk_id", "text", "dense", "position"} < set(row)
    assert "sparse" not in row


async def test_words_are_searched_by_text_and_scores_rise(caller: Caller, shared: str) -> None:
    answer = await caller.post("entities/search", {"collectionName": shared, "data": ["honey"], **WORDS})

    assert [row["id"] for row in answer["data"]] == ["chunk-2"]
    assert answer["data"][0]["distance"] > 0


@pytest.mark.parametrize(("header", "position"), [("true", 1), ("false", "1"), ("", "1")])
async def test_int64_is_a_string_unless_asked_for(
    *, caller: Caller, shared: str, unit: UnitVector, header: str, position: object
) -> None:
    headers = {"Accept-Type-Allow-Int64": header} if header else {}
    body = {"collectionName": shared, "data": [unit(1)], "outputFields": ["position"], **DENSE}

    answer = await caller.post("entities/search", body, headers)

    assert answer["data"][0]["position"] == position


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"collectionName": "nowhere"}, 100),
        ({"collectionName": None}, 1802),
        ({"annsField": "other"}, 1801),
        ({"annsField": None}, 1801),
        ({"data": None}, 1801),
        ({"data": [[1.0]]}, 1801),
        ({"limit": 0}, 1100),
        ({"limit": 16384}, 1100),
        ({"limit": 10, "offset": 16374}, 1100),
        ({"outputFields": ["nothing"]}, 65535),
        ({"filter": "((("}, 1100),
    ],
)
async def test_search_failures_are_codes_with_status_200(
    *, caller: Caller, shared: str, unit: UnitVector, change: dict[str, object], code: int
) -> None:
    answer = await caller.post("entities/search", {"collectionName": shared, "data": [unit(0)], **DENSE, **change})

    assert answer["code"] == code
    assert answer["message"]
    assert "data" not in answer


async def test_hybrid_search_fuses(caller: Caller, shared: str, unit: UnitVector) -> None:
    searches = [{"data": [unit(0)], **DENSE}, {"data": ["ship logs"], **WORDS}]
    body = {"collectionName": shared, "search": searches, "rerank": RRF, "limit": 2}

    answer = await caller.post("entities/hybrid_search", body)

    assert {row["id"] for row in answer["data"]} == {"chunk-0", "chunk-3"}
    assert answer["topks"] == [2]
    older = await caller.post("entities/advanced_search", body)
    assert older["data"] == answer["data"]


async def test_a_weighted_ranker_is_known(caller: Caller, shared: str, unit: UnitVector) -> None:
    searches = [{"data": [unit(0)], **DENSE}, {"data": ["ship logs"], **WORDS}]
    rerank: dict[str, object] = {"strategy": "weighted", "params": {"weights": [1.0, 0.0]}}

    answer = await caller.post(
        "entities/hybrid_search", {"collectionName": shared, "search": searches, "rerank": rerank}
    )

    assert answer["data"][0]["id"] == "chunk-0"


async def test_the_filter_belongs_into_each_search(caller: Caller, shared: str, unit: UnitVector) -> None:
    only = 'document_id == "document-1"'
    beside = {"collectionName": shared, "search": [{"data": [unit(0)], **DENSE}], "rerank": RRF, "filter": only}
    inside = {"collectionName": shared, "search": [{"data": [unit(0)], **DENSE, "filter": only}], "rerank": RRF}

    unfiltered = await caller.post("entities/hybrid_search", beside)
    filtered = await caller.post("entities/hybrid_search", inside)

    assert unfiltered["data"][0]["id"] == "chunk-0"
    assert {row["id"] for row in filtered["data"]} == {"chunk-2", "chunk-3"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"search": None}, 1802),
        ({"rerank": None}, 65535),
        ({"rerank": {"strategy": "ws"}}, 65535),
        ({"rerank": {"strategy": "rrf"}}, 65535),
        ({"rerank": {"strategy": "weighted", "params": {"weights": [1.0, 2.0]}}}, 65535),
        ({"search": [{"data": ["honey"], "annsField": "sparse"}]}, 1100),
    ],
)
async def test_hybrid_search_has_its_traps(caller: Caller, shared: str, change: dict[str, object], code: int) -> None:
    body = {"collectionName": shared, "search": [{"data": ["honey"], **WORDS}], "rerank": RRF, **change}

    assert (await caller.post("entities/hybrid_search", body))["code"] == code


async def test_a_collection_is_described_as_the_pages_show(caller: Caller, shared: str) -> None:
    data = (await caller.post("collections/describe", {"collectionName": shared}))["data"]

    fields = {field["name"]: field for field in data["fields"]}
    assert fields["chunk_id"]["primaryKey"] is True
    assert fields["dense"]["type"] == "FloatVector"
    assert fields["dense"]["params"] == [{"key": "dim", "value": "4"}]
    assert {(index["fieldName"], index["metricType"]) for index in data["indexes"]} == {
        ("dense", "COSINE"),
        ("sparse", "BM25"),
    }
    assert data["load"] == "LoadStateLoaded"


async def test_a_collection_is_released_loaded_and_dropped(
    caller: Caller, filled: str, unit: UnitVector, island_chunks: list[Chunk]
) -> None:
    named = {"collectionName": filled}
    search = {**named, "data": [unit(0)], **DENSE}

    assert (await caller.post("collections/has", named))["data"] == {"has": True}
    assert filled in (await caller.post("collections/list", {}))["data"]
    assert (await caller.post("collections/get_stats", named))["data"] == {"rowCount": len(island_chunks)}
    assert (await caller.post("collections/release", named)) == {"code": 0, "data": {}}
    assert (await caller.post("collections/get_load_state", named))["data"]["loadState"] == "LoadStateNotLoad"
    assert (await caller.post("entities/search", search))["code"] == 101
    assert (await caller.post("collections/load", named)) == {"code": 0, "data": {}}
    assert (await caller.post("collections/get_load_state", named))["data"] == {
        "loadState": "LoadStateLoaded",
        "loadProgress": 100,
        "message": "",
    }
    assert (await caller.post("collections/drop", named))["code"] == 0
    assert (await caller.post("collections/get_load_state", named))["code"] == 100


async def test_rows_are_queried_and_counted(caller: Caller, shared: str) -> None:
    rows = await caller.post(
        "entities/query",
        {"collectionName": shared, "filter": 'chunk_id == "chunk-1"', "outputFields": ["title", "position"]},
    )
    count = await caller.post("entities/query", {"collectionName": shared, "outputFields": ["count(*)"]})

    assert rows["data"] == [{"chunk_id": "chunk-1", "title": "Title 0", "position": "1"}]
    assert count["data"] == [{"count(*)": 4}]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
async def test_a_body_that_is_no_object_is_refused(front: MilvusRestFront, body: bytes) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{front.url}/v2/vectordb/collections/list", data=body) as response,
    ):
        assert response.status == 200
        assert (await response.json())["code"] == 1801


async def test_an_unknown_path_and_another_method_are_not_there(front: MilvusRestFront) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{front.url}/v2/vectordb/entities/dance", json={}) as response:
            assert response.status == 404
        async with session.get(f"{front.url}/v2/vectordb/collections/list") as response:
            assert response.status in {404, 405}


async def test_credentials_are_asked_for_where_they_are_set(front: MilvusRestFront) -> None:
    async with MilvusRestFront(front.lite_uri, token="root:Milvus") as guarded, aiohttp.ClientSession() as session:
        caller = Caller(session, guarded.url)
        refused = await caller.post("collections/list", {}, status=401)
        served = await caller.post("collections/list", {}, {"Authorization": "Bearer root:Milvus"})

    assert refused["code"] == 1800
    assert served["code"] == 0
