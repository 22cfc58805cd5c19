from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

import pytest
from aiohttp import web

from handler_base.clients import EmbeddingsClient, HttpEndpoints, HttpPool, RawVector, RerankerClient
from handler_base.clients.embeddings import EMBEDDING_PATHS
from handler_base.clients.reranker import RERANK_PATHS
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError
from handler_base.testing.inference import (
    EmbeddingsScript,
    Failure,
    FailureKind,
    FakeEmbeddings,
    FakeReranker,
    FakeServer,
    RerankScript,
    status,
    word_overlap,
    word_vector,
)

TEXTS = ["nats is a message bus", "milvus finds vectors", "", "naïve café 東京"]


class Canned(FakeServer):
    """Answers any path with the same body."""

    def __init__(self, body: bytes, path: str) -> None:
        super().__init__()
        self.body = body
        self._path = path

    def handlers(self) -> dict[tuple[str, str], Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        return {("POST", self._path): self._answer}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await self.whole(request, self.body, "application/json")


def embeddings(pool: HttpPool, url: str, dialect: str = "auto", model: str = "") -> EmbeddingsClient:
    http = HttpEndpoints("embeddings", url, pool=pool, known_paths=EMBEDDING_PATHS)
    return EmbeddingsClient(http, model=model, dialect=dialect)


def reranker(pool: HttpPool, url: str, dialect: str = "auto", model: str = "") -> RerankerClient:
    http = HttpEndpoints("reranker", url, pool=pool, known_paths=RERANK_PATHS)
    return RerankerClient(http, model=model, dialect=dialect)


def assert_same(raw: RawVector, text: str, dimension: int) -> None:
    assert raw.dimension == dimension
    assert json.loads(raw.json) == pytest.approx(word_vector(text, dimension), abs=1e-6)


class TestEmbeddings:
    @pytest.mark.parametrize("setting", ["auto", "named"])
    @pytest.mark.parametrize("as_base64", [False, True])
    @pytest.mark.parametrize("dialect", ["openai", "tei", "ollama"])
    async def test_vectors_come_back_in_the_order_of_the_texts(
        self, pool: HttpPool, dialect: Literal["openai", "tei", "ollama"], as_base64: bool, setting: str
    ) -> None:
        soon = Deadline.after(timedelta(seconds=10))
        script = EmbeddingsScript(dimension=64, base64=as_base64, shuffled=True)
        async with FakeEmbeddings(script, dialect=dialect) as server:
            client = embeddings(pool, server.url, dialect if setting == "named" else "auto", model="bge")
            vectors = await client.embed(TEXTS, deadline=soon)
            assert vectors == [pytest.approx(word_vector(text, 64), abs=1e-6) for text in TEXTS]
            assert_same(await client.embed_raw(TEXTS[3], deadline=soon), TEXTS[3], 64)
            if dialect != "tei":
                assert server.requests[-1].json["model"] == "bge"

    async def test_many_texts_are_sent_in_parts_that_servers_take(self, pool: HttpPool, soon: Deadline) -> None:
        texts = [f"text {number}" for number in range(75)]
        async with FakeEmbeddings(EmbeddingsScript(dimension=8), dialect="tei") as server:
            client = embeddings(pool, server.url, "tei")
            assert len(await client.embed(texts, deadline=soon)) == 75
            assert [len(request.json["inputs"]) for request in server.requests] == [32, 32, 11]

    async def test_no_texts_need_no_server(self, pool: HttpPool, soon: Deadline) -> None:
        assert await embeddings(pool, "http://127.0.0.1:9").embed([], deadline=soon) == []

    @pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/v1/embeddings", ""])
    async def test_any_path_is_found(self, pool: HttpPool, soon: Deadline, path: str) -> None:
        async with FakeEmbeddings(EmbeddingsScript(dimension=8), prefix="/embeddings", path=path) as server:
            client = embeddings(pool, server.url)
            assert (await client.embed_raw("a", deadline=soon)).dimension == 8
            asked = len(server.requests)
            await client.embed_raw("a", deadline=soon)
            assert len(server.requests) == asked + 1

    async def test_no_model_is_sent_where_none_is_set(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeEmbeddings() as server:
            await embeddings(pool, server.url).embed_raw("a", deadline=soon)
            assert server.requests[0].json == {"input": ["a"]}

    @pytest.mark.parametrize(
        "body",
        [
            b'{"data":[]}',
            b'{"data":[{"embedding":[1],"index":5}]}',
            b'{"data":[{"embedding":[1]},{"embedding":[2]}]}',
            b'{"data":[{"embedding":{}}]}',
            b'{"data":[{"embedding":[]}]}',
            b'{"data":[{"embedding":[  ]}]}',
            b'{"data":[{"embedding":null}]}',
            b'{"data":[{"embedding":[1,null]}]}',
            b'{"data":[{"embedding":[1,true]}]}',
            b'{"data":[{"embedding":[1,false]}]}',
            b'{"data":[{"embedding":[1,"2"]}]}',
            b'{"data":[{"embedding":[1,{"a":2}]}]}',
            b'{"data":[{"embedding":[[1],[2]]}]}',
            b'{"data":[{"embedding":7}]}',
            b'{"data":[{"embedding":"not base64!"}]}',
            b'{"data":[{"embedding":"AAA="}]}',
            b'{"data":[{"embedding":""}]}',
            b'{"data":[{"embedding":[1,2}]}',
            b'{"error":"no"}',
            b"",
            b"<html>",
            b'{"data":[{"embedding":[1,2',
        ],
    )
    async def test_what_is_no_vector_is_an_upstream_error(self, pool: HttpPool, soon: Deadline, body: bytes) -> None:
        async with Canned(body, "/v1/embeddings") as server:
            with pytest.raises(UpstreamError):
                await embeddings(pool, server.url, "openai").embed_raw("a", deadline=soon)
            with pytest.raises(UpstreamError):
                await embeddings(pool, server.url, "openai").embed(["a"], deadline=soon)

    async def test_half_an_answer_is_asked_for_again(self, pool: HttpPool, soon: Deadline) -> None:
        script = EmbeddingsScript(dimension=8, failures=[Failure(kind=FailureKind.MALFORMED)])
        async with FakeEmbeddings(script) as server:
            client = embeddings(pool, server.url, "openai")
            assert (await client.embed_raw("a", deadline=soon)).dimension == 8

    async def test_it_is_available_until_a_call_fails(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeEmbeddings(EmbeddingsScript(always=status(500))) as server:
            client = embeddings(pool, server.url)
            assert client.available
            with pytest.raises(UpstreamError):
                await client.embed_raw("a", deadline=soon)
            assert [client.available] == [False]


class TestReranker:
    @pytest.mark.parametrize("setting", ["auto", "named"])
    @pytest.mark.parametrize("logits", [False, True])
    @pytest.mark.parametrize("dialect", ["tei", "cohere", "score"])
    async def test_scores_come_back_in_the_order_of_the_texts(
        self, pool: HttpPool, dialect: Literal["tei", "cohere", "score"], logits: bool, setting: str
    ) -> None:
        soon = Deadline.after(timedelta(seconds=10))
        query = "what message bus is nats"
        async with FakeReranker(RerankScript(logits=logits), dialect=dialect) as server:
            client = reranker(pool, server.url, dialect if setting == "named" else "auto", model="bge")
            scores = await client.rerank(query, TEXTS, deadline=soon)
            overlaps = [word_overlap(query, text) for text in TEXTS]
            assert all(0 <= score <= 1 for score in scores)
            assert sorted(range(4), key=scores.__getitem__) == sorted(range(4), key=overlaps.__getitem__)
            if not logits:
                assert scores == overlaps

    async def test_llama_cpp_is_understood(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeReranker(dialect="llamacpp") as server:
            scores = await reranker(pool, server.url).rerank("milvus vectors", TEXTS[:2], deadline=soon)
            assert scores == [pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01)]

    async def test_scores_of_a_server_with_logits_stay_comparable(self, pool: HttpPool, soon: Deadline) -> None:
        """A later answer may hold no score outside of 0 to 1; it is of logits all the same."""
        async with Canned(b'[{"index":0,"score":-7.5}]', "/rerank") as server:
            client = reranker(pool, server.url, "tei")
            await client.rerank("q", ["a"], deadline=soon)
            server.body = b'[{"index":0,"score":0.5}]'
            assert await client.rerank("q", ["a"], deadline=soon) == [pytest.approx(0.6225, abs=1e-3)]

    @pytest.mark.parametrize(
        "path", ["/rerank", "/v1/rerank", "/v2/rerank", "/openai/v1/rerank", ""], ids=lambda path: path or "prefix"
    )
    async def test_any_path_is_found(self, pool: HttpPool, soon: Deadline, path: str) -> None:
        async with FakeReranker(dialect="cohere", prefix="/reranker", paths=[path]) as server:
            client = reranker(pool, server.url + "/v1" if path else server.url)
            assert await client.rerank("a", ["a", "b"], deadline=soon) == [1, 0]
            asked = len(server.requests)
            await client.rerank("a", ["a", "b"], deadline=soon)
            assert len(server.requests) == asked + 1

    async def test_many_texts_are_sent_in_parts_that_servers_take(self, pool: HttpPool, soon: Deadline) -> None:
        texts = [f"{number}" for number in range(70)]
        random.Random(1).shuffle(texts)
        async with FakeReranker() as server:
            scores = await reranker(pool, server.url).rerank("7", texts, deadline=soon)
            assert [text for text, score in zip(texts, scores, strict=True) if score] == ["7"]
            assert len(server.requests) == 3

    async def test_no_texts_need_no_server(self, pool: HttpPool, soon: Deadline) -> None:
        assert await reranker(pool, "http://127.0.0.1:9").rerank("q", [], deadline=soon) == []

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b'[{"index":1,"score":0.5}]',
            b'[{"index":0}]',
            b'[{"index":0,"score":"high"}]',
            b'[{"index":0,"score":0.1},{"index":1,"score":0.2}]',
            b'{"results":[]}',
            b'{"results":[{"index":-1,"relevance_score":0.5}]}',
            b"{}",
            b"[",
            b"7",
            b"",
        ],
    )
    async def test_what_does_not_score_every_text_is_an_upstream_error(
        self, pool: HttpPool, soon: Deadline, body: bytes
    ) -> None:
        async with Canned(body, "/rerank") as server:
            with pytest.raises(UpstreamError):
                await reranker(pool, server.url, "tei").rerank("q", ["a"], deadline=soon)
