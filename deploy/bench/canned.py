"""The bodies that the fake upstreams send, made once and sent as bytes."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

__all__ = [
    "ANSWER_TOKENS",
    "DIMENSION",
    "answer",
    "completion",
    "describe_collection",
    "embedding",
    "embedding_base64",
    "embedding_tei",
    "frames",
    "models",
    "rerank_cohere",
    "rerank_tei",
    "search_result",
    "stream_events",
]

DIMENSION: Final = 1024
"""Dimension of the embedding, that of BGE-large."""

ANSWER_TOKENS: Final[tuple[str, ...]] = tuple(
    (
        "The fleet answers from its documents [1] . A question is embedded , searched , reranked and put before the "
        "model with numbered passages [2] . The answer comes back as a stream of tokens , each piece numbered from "
        "zero without a gap , and ends with one final message that names its sources [3] , the model , the tokens used"
        " and the time it took"
    )
    .replace(" ", "\x00 ")
    .split("\x00")
)[:64]
"""The tokens of the scripted answer: 64, each with its leading blank, as tokenizers make them."""

MODEL: Final = "bench-model"
_USAGE: Final = {"prompt_tokens": 640, "completion_tokens": len(ANSWER_TOKENS), "total_tokens": 704}
_PASSAGE: Final = (
    "A handler pulls as many messages as it has free slots, keeps each alive while it works, and answers once. "
    "When a server is away the work is handed back with a delay, and what cannot be handled goes to the dead letters "
    "with its reason. Nothing that was accepted is lost and nothing is answered twice, whatever is restarted. "
)
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=8)
def answer(tokens: int) -> str:
    """The text of an answer of `tokens` tokens; longer answers repeat the scripted one."""
    return "".join(ANSWER_TOKENS[index % len(ANSWER_TOKENS)] for index in range(tokens))


@lru_cache(maxsize=1)
def _vector() -> list[float]:
    source = random.Random(7)  # noqa: S311 - the same vector in every run
    values = [source.gauss(0.0, 1.0) for _ in range(DIMENSION)]
    norm = sum(value * value for value in values) ** 0.5
    return [round(value / norm, 10) for value in values]


@lru_cache(maxsize=1)
def embedding() -> bytes:
    """One vector of `DIMENSION` floats in the OpenAI shape."""
    return _encode(
        {
            "object": "list",
            "model": MODEL,
            "data": [{"object": "embedding", "index": 0, "embedding": _vector()}],
            "usage": {"prompt_tokens": 12, "total_tokens": 12},
        }
    )


@lru_cache(maxsize=1)
def embedding_base64() -> bytes:
    """The same vector as little-endian float32 in base64, what OpenAI's `encoding_format` asks for."""
    packed = base64.b64encode(struct.pack(f"<{DIMENSION}f", *_vector())).decode()
    return _encode(
        {"object": "list", "model": MODEL, "data": [{"object": "embedding", "index": 0, "embedding": packed}]}
    )


@lru_cache(maxsize=1)
def embedding_tei() -> bytes:
    """The same vector in the shape of TEI's `/embed`."""
    return _encode([_vector()])


@lru_cache(maxsize=64)
def search_result(limit: int) -> bytes:
    """Milvus REST v2: `limit` hits with text and the document's fields, best first."""
    rows = [
        {
            "id": f"doc-{index // 3}-{index}",
            "distance": round(1 / (60 + index), 8),
            "chunk_id": f"doc-{index // 3}-{index}",
            "document_id": f"doc-{index // 3}",
            "text": f"Passage {index}. {_PASSAGE}",
            "title": f"Document {index // 3}",
            "source_url": f"file:///corpus/doc-{index // 3}.md",
            "position": index,
            "page": 0,
        }
        for index in range(limit)
    ]
    return _encode({"code": 0, "cost": 6, "data": rows, "topks": [limit]})


@lru_cache(maxsize=64)
def rerank_tei(count: int) -> bytes:
    """TEI's answer for `count` texts: a bare array, sorted by score, not in the order of the texts."""
    order = sorted(range(count), key=lambda index: (index * 7) % max(count, 1))
    return _encode([{"index": index, "score": round(0.98 / (rank + 1), 6)} for rank, index in enumerate(order)])


@lru_cache(maxsize=64)
def rerank_cohere(count: int) -> bytes:
    """The same scores in the shape of Cohere, Jina and vLLM."""
    order = sorted(range(count), key=lambda index: (index * 7) % max(count, 1))
    results = [{"index": index, "relevance_score": round(0.98 / (rank + 1), 6)} for rank, index in enumerate(order)]
    return _encode({"id": "rerank-1", "model": MODEL, "results": results, "usage": {"total_tokens": 512}})


@lru_cache(maxsize=1)
def completion() -> bytes:
    """A chat completion in one JSON object."""
    message = {"role": "assistant", "content": answer(len(ANSWER_TOKENS))}
    return _encode(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1760000000,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
    )


def _event(choices: list[dict[str, object]], usage: object = None) -> bytes:
    frame = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": MODEL,
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + _encode(frame) + b"\n\n"


@lru_cache(maxsize=8)
def stream_events(tokens: int) -> tuple[bytes, ...]:
    """The server-sent events of one answer of `tokens` tokens, as vLLM sends them.

    The first event carries the role alone, then one event a token, then the finish reason, the usage, and `[DONE]`.
    """
    return _events(ANSWER_TOKENS[index % len(ANSWER_TOKENS)] for index in range(tokens))


def frames(tokens: Sequence[str]) -> tuple[bytes, ...]:
    """The writes of a paced answer, one a token: the response's head with the first, its end with the last."""
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in _events(tokens)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    last = len(tokens)
    return head + chunks[0] + chunks[1], *chunks[2:last], b"".join(chunks[last:]) + b"0\r\n\r\n"


def _events(tokens: Iterable[str]) -> tuple[bytes, ...]:
    def choice(delta: dict[str, str], finish: str | None = None) -> list[dict[str, object]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    return (
        _event(choice({"role": "assistant", "content": ""})),
        *(_event(choice({"content": text})) for text in tokens),
        _event(choice({}, "stop")),
        _event([], _USAGE),
        b"data: [DONE]\n\n",
    )


@lru_cache(maxsize=1)
def models() -> bytes:
    """The model list of an OpenAI-compatible server."""
    return _encode({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]})


@lru_cache(maxsize=1)
def describe_collection() -> bytes:
    """Milvus REST v2: a loaded collection with a dense and a BM25 field."""
    texts = [
        {
            "name": name,
            "type": "VarChar",
            "primaryKey": name == "chunk_id",
            "params": [{"key": "max_length", "value": "65535"}],
        }
        for name in ("chunk_id", "document_id", "text", "title", "source_url")
    ]
    numbers = [{"name": name, "type": "Int64", "primaryKey": False} for name in ("position", "page")]
    vectors = [
        {"name": "dense", "type": "FloatVector", "params": [{"key": "dim", "value": str(DIMENSION)}]},
        {"name": "sparse", "type": "SparseFloatVector"},
    ]
    data = {
        "collectionName": "knowledge_base",
        "fields": [*texts, *numbers, *vectors],
        "indexes": [
            {"fieldName": "dense", "indexName": "dense", "metricType": "COSINE"},
            {"fieldName": "sparse", "indexName": "sparse", "metricType": "BM25"},
        ],
        "functions": [
            {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["sparse"], "params": {}}
        ],
        "enableDynamicField": False,
        "load": "LoadStateLoaded",
    }
    return _encode({"code": 0, "data": data})
