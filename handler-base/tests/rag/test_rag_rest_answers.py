"""What the REST store makes of answers that a real cluster gives and Milvus Lite does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from handler_base.clients import HttpEndpoints, HttpPool, RawVector
from handler_base.deadline import Deadline
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    NotFoundError,
    UpstreamError,
    UpstreamUnavailableError,
)
from handler_base.rag import RestVectorStore

DESCRIPTION = {
    "fields": [
        {"name": "chunk_id", "type": "VarChar", "primaryKey": True},
        {"name": "text", "type": "VarChar"},
        {"name": "position", "type": "Int64"},
        {"name": "dense", "type": "FloatVector", "params": [{"key": "dim", "value": "2"}]},
        {"name": "sparse", "type": "SparseFloatVector"},
    ],
    "functions": [{"name": "bm25", "type": 1, "outputFieldNames": ["sparse"]}],
    "indexes": [],
}
ROW = {"id": "7", "chunk_id": "c", "text": "t", "position": "9007199254740993", "distance": 0.5}


class Cluster:
    """Answers each path with the next of what was put there, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[object]] = {"collections/describe": [{"code": 0, "data": DESCRIPTION}]}
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.requests.append((path, await request.json(), dict(request.headers)))
        answers = self.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    app = web.Application()
    app.router.add_post("/v2/vectordb/{path:.+}", made.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def store(cluster: Cluster, pool: HttpPool) -> RestVectorStore:
    http = HttpEndpoints("milvus", [cluster.url], pool=pool, api_key="root:Milvus")
    return RestVectorStore(http, database="books", rank_constant=10)


async def search(store: RestVectorStore, seconds: float = 5) -> list[str]:
    deadline = Deadline.after(timedelta(seconds=seconds))
    vector = RawVector(b"[1.50,-2e-3]", 2)
    hits = await store.search("kb", vector=vector, text='say "hi"', limit=6, deadline=deadline)
    return [hit.chunk_id for hit in hits]


async def test_the_request_is_as_the_api_wants_it(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": 0, "data": [ROW], "topks": [1]}]

    assert await search(store) == ["c"]

    path, body, headers = cluster.requests[-1]
    assert path == "entities/hybrid_search"
    assert body == {
        "dbName": "books",
        "collectionName": "kb",
        "search": [
            {"data": [[1.5, -0.002]], "annsField": "dense", "limit": 24},
            {"data": ['say "hi"'], "annsField": "sparse", "limit": 24},
        ],
        "rerank": {"strategy": "rrf", "params": {"k": 10}},
        "limit": 6,
        "outputFields": ["chunk_id", "text", "position"],
    }
    assert headers["Authorization"] == "Bearer root:Milvus"
    assert headers["Accept-Type-Allow-Int64"] == "true"
    assert headers["Request-Timeout"] == "5"


async def test_the_layout_is_asked_for_once(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": 0, "data": []}]

    await search(store)
    await search(store)

    assert [path for path, _, _ in cluster.requests].count("collections/describe") == 1


async def test_int64_strings_and_missing_fields_are_read(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["entities/search"] = [{"code": 0, "data": [ROW, {"id": 3, "text": None, "position": [1]}]}]
    deadline = Deadline.after(timedelta(seconds=5))

    first, second = await store.search("kb", vector=[1.0, 2.0], text=None, limit=2, deadline=deadline)

    assert (first.position, first.document_id, first.score) == (9007199254740993, "c", 0.5)
    assert (second.chunk_id, second.text, second.position, second.score) == ("3", "", 0, 0)


async def test_loading_is_waited_for(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": 101, "message": "x"}, {"code": 0, "data": [ROW]}]
    cluster.answers["collections/load"] = [{"code": 0, "data": {}}]
    cluster.answers["collections/get_load_state"] = [
        {"code": 0, "data": {"loadState": "LoadStateLoading", "loadProgress": 50}},
        {"code": 0, "data": {"loadState": "LoadStateLoaded", "loadProgress": 100}},
    ]

    assert await search(store) == ["c"]


async def test_loading_that_takes_too_long_ends_at_the_deadline(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": 106, "message": "x"}]
    cluster.answers["collections/load"] = [{"code": 0, "data": {}}]
    cluster.answers["collections/get_load_state"] = [{"code": 0, "data": {"loadState": "LoadStateLoading"}}]

    with pytest.raises(DeadlineExceededError):
        await search(store, seconds=0.3)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (800, NotFoundError),
        (2, UpstreamUnavailableError),
        (8, UpstreamUnavailableError),
        (1807, UpstreamUnavailableError),
        (10001, DeadlineExceededError),
        (1100, UpstreamError),
        (65535, UpstreamError),
        (1401, UpstreamError),
    ],
)
async def test_codes_become_typed_errors_without_the_servers_words(
    cluster: Cluster, store: RestVectorStore, code: int, error: type[FleetError]
) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": code, "message": "10.0.0.7 says no"}]

    with pytest.raises(error) as raised:
        await search(store)

    assert "10.0.0.7" not in raised.value.message


@pytest.mark.parametrize("answer", ["", "<html>", "[]", '{"code":"x"}', '{"code":0,"data":5}', '{"code":0,"data":[7]}'])
async def test_nonsense_is_an_upstream_error(cluster: Cluster, store: RestVectorStore, answer: str) -> None:
    cluster.answers["entities/hybrid_search"] = [answer]

    with pytest.raises(UpstreamError):
        await search(store)


@pytest.mark.parametrize("distance", [None, "x", []])
async def test_a_row_without_a_number_for_its_distance_scores_nothing(
    cluster: Cluster, store: RestVectorStore, distance: object
) -> None:
    cluster.answers["entities/hybrid_search"] = [{"code": 0, "data": [ROW | {"distance": distance}]}]

    assert await search(store) == ["c"]


async def test_statistics_that_are_refused_leave_the_count_open(cluster: Cluster, store: RestVectorStore) -> None:
    cluster.answers["collections/get_stats"] = [{"code": 65535, "message": "x"}]

    info = await store.describe("kb", deadline=Deadline.after(timedelta(seconds=5)))

    assert (info.dimension, info.count, info.lexical) == (2, -1, True)
