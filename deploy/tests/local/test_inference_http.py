"""Embeddings, reranking and status over HTTP, in the shapes that clients of the real servers expect."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from deploy.tests.local.conftest import InferenceServer


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


async def test_openai_embeddings(inference: InferenceServer) -> None:
    status, answer = await inference.post("/v1/embeddings", {"input": ["a boat", "a ship", "tax law"], "model": "any"})

    assert status == 200
    assert answer["object"] == "list"
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    boat, ship, law = (item["embedding"] for item in answer["data"])
    assert len(boat) == 384
    assert _dot(boat, ship) > _dot(boat, law)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == 12


async def test_one_string_is_a_batch_of_one(inference: InferenceServer) -> None:
    _, one = await inference.post("/v1/embeddings", {"input": "a boat"})
    _, batch = await inference.post("/v1/embeddings", {"input": ["a boat"]})

    assert one["data"] == batch["data"]


async def test_base64_is_the_same_vector_as_little_endian_floats(inference: InferenceServer) -> None:
    _, plain = await inference.post("/v1/embeddings", {"input": "a boat"})
    _, packed = await inference.post("/v1/embeddings", {"input": "a boat", "encoding_format": "base64"})

    numbers = struct.unpack("<384f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers == pytest.approx(plain["data"][0]["embedding"], abs=1e-7)


async def test_tei_embed_and_info(inference: InferenceServer) -> None:
    status, vectors = await inference.post("/embed", {"inputs": ["a boat", "a ship"], "truncate": True})
    _, info = await inference.get("/info")

    assert status == 200
    assert [len(vector) for vector in vectors] == [384, 384]
    assert (info["model_id"], info["max_input_length"]) == ("all-MiniLM-L6-v2", 256)


TEXTS = [
    "The weather was fine and the hay is in.",
    "The West Well pump draws 52 litres a minute.",
    "The East Well pump draws 46 litres a minute; ask for seal kit SK-114.",
]


async def test_tei_rerank_sorts_by_score(inference: InferenceServer) -> None:
    query = "How much does the East Well pump draw?"
    status, ranks = await inference.post("/rerank", {"query": query, "texts": TEXTS, "return_text": True})

    assert status == 200
    assert [rank["index"] for rank in ranks] == [2, 1, 0]
    assert ranks[0]["text"] == TEXTS[2]
    assert all(0 <= rank["score"] <= 1 for rank in ranks)
    assert ranks[0]["score"] > 0.9
    assert ranks[2]["score"] < 0.1


async def test_raw_scores_have_the_same_order(inference: InferenceServer) -> None:
    _, raw = await inference.post("/rerank", {"query": "East Well", "texts": TEXTS, "raw_scores": True})
    _, ranks = await inference.post("/rerank", {"query": "East Well", "texts": TEXTS})

    assert [rank["index"] for rank in raw] == [rank["index"] for rank in ranks]
    assert min(rank["score"] for rank in raw) < 0


async def test_an_identifier_finds_its_text(inference: InferenceServer) -> None:
    _, ranks = await inference.post("/rerank", {"query": "SK-114", "texts": TEXTS})

    assert ranks[0]["index"] == 2


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_cohere_rerank(inference: InferenceServer, path: str) -> None:
    documents: list[Any] = [TEXTS[0], {"text": TEXTS[1]}, {"text": TEXTS[2]}]
    body = {"model": "m", "query": "East Well pump", "documents": documents, "top_n": 2, "return_documents": True}
    status, answer = await inference.post(path, body)

    assert status == 200
    assert [result["index"] for result in answer["results"]] == [2, 1]
    assert answer["results"][0]["document"] == {"text": TEXTS[2]}
    assert answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"]


async def test_health_and_models_say_what_this_is(inference: InferenceServer) -> None:
    _, health = await inference.get("/health")
    _, models = await inference.get("/v1/models")

    assert health["status"] == "ok"
    assert health["kind"] == "extractive-stand-in"
    assert [model["id"] for model in models["data"]] == ["local-extractive"]
    assert "stand-in" in models["data"][0]["description"]


HOSTILE = [
    b"",
    b"{",
    b"[1]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    {},
    {"input": [], "inputs": [], "query": "q", "texts": [], "documents": [], "messages": []},
    {"input": [1], "inputs": {"a": 1}, "query": 7, "texts": "x", "documents": "x", "messages": "x"},
    {"input": [""], "inputs": [" "], "query": "q", "texts": [None], "documents": [{"text": 1}], "messages": [1]},
    {"input": None, "inputs": None, "query": "", "texts": ["x"], "messages": [{"role": "robot", "content": "x"}]},
]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/rerank", "/v1/rerank", "/v1/chat/completions"])
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_body_gets_a_json_error(inference: InferenceServer, path: str, body: object) -> None:
    status, answer = await inference.post(path, body)

    assert status == 400
    assert answer["error"]["type"] == "invalid_request"
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "x", "encoding_format": "hex"}),
        ("/v1/embeddings", {"input": "x", "dimensions": 12}),
        ("/embed", {"inputs": "x", "normalize": False}),
        ("/embed", {"inputs": "x", "normalize": "yes"}),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": 0}),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": True}),
    ],
)
async def test_an_option_that_is_not_offered_is_refused(inference: InferenceServer, path: str, body: object) -> None:
    assert (await inference.post(path, body))[0] == 400


async def test_too_many_texts_and_too_large_a_body_are_told_so(inference: InferenceServer) -> None:
    many, answer = await inference.post("/v1/embeddings", {"input": ["x"] * 1025})
    large, _ = await inference.post("/v1/embeddings", {"input": "x" * (9 * 1024 * 1024)})

    assert (many, large) == (413, 413)
    assert answer["error"]["type"] == "payload_too_large"


async def test_an_unknown_path_is_a_json_error(inference: InferenceServer) -> None:
    assert (await inference.get("/nothing"))[0] == 404
    assert (await inference.get("/rerank"))[0] == 405


async def test_odd_text_is_embedded_all_the_same(inference: InferenceServer) -> None:
    odd = ["\ud800", "\u0000", "\U0001f41d" * 50, "x" * 200_000, "\u202ereversed"]
    status, answer = await inference.post("/v1/embeddings", {"input": odd})

    assert status == 200
    assert len(answer["data"]) == len(odd)
    assert (await inference.get("/health"))[1]["failures"] == 0
