"""Fake embeddings and rerank servers. Their numbers follow from the words of the texts, so that they mean something."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from handler_base.testing.inference.script import Script
from handler_base.testing.inference.server import FakeServer, Handler

__all__ = ["EmbeddingsScript", "FakeEmbeddings", "FakeReranker", "RerankScript", "word_overlap", "word_vector"]


def word_vector(text: str, dimension: int) -> list[float]:
    """Return a vector of length 1 in which each word of the text has a place of its own."""
    vector = [0.0] * dimension
    for word in text.lower().split() or [""]:
        vector[zlib.crc32(word.encode()) % dimension] += 1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def word_overlap(query: str, text: str) -> float:
    """Return the share of the words of a question that a text has."""
    asked = set(query.lower().split())
    return len(asked & set(text.lower().split())) / len(asked) if asked else 0.0


@dataclass(kw_only=True)
class EmbeddingsScript(Script):
    """What a fake embeddings server answers.

    Attributes:
        dimension: Of its vectors.
        base64: Whether it sends vectors as base64 whatever it is asked.
        shuffled: Whether it sends them in another order than asked.
        most_texts: Texts it takes in one request.
    """

    dimension: int = 1024
    base64: bool = False
    shuffled: bool = False
    most_texts: int = 32


class FakeEmbeddings(FakeServer):
    """A fake embeddings server.

    Args:
        script: What it answers and how.
        dialect: Whose interface it speaks; Text Embeddings Inference has OpenAI's as well unless told otherwise.
        prefix: Put before all paths.
        path: The path of embeddings, where it is another.
    """

    script: EmbeddingsScript

    def __init__(
        self,
        script: EmbeddingsScript | None = None,
        *,
        dialect: Literal["openai", "tei", "ollama"] = "openai",
        prefix: str = "",
        path: str = "/v1/embeddings",
    ) -> None:
        super().__init__(script or EmbeddingsScript(), prefix=prefix)
        self._dialect = dialect
        self._path = path

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each path."""
        if self._dialect == "tei":
            return {("POST", "/embed"): self._tei}
        if self._dialect == "ollama":
            return {("POST", "/api/embed"): self._ollama}
        return {("POST", self._path): self._openai}

    def _vectors(self, texts: str | Sequence[str]) -> list[list[float]]:
        listed = [texts] if isinstance(texts, str) else texts
        return [word_vector(text, self.script.dimension) for text in listed]

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        vectors = self._vectors(body["input"])
        as_text = self.script.base64 or body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
            for index, vector in enumerate(vectors)
        ]
        if self.script.shuffled:
            data.reverse()
        usage = {"prompt_tokens": len(vectors), "total_tokens": len(vectors)}
        answer = {"object": "list", "model": body.get("model", ""), "data": data, "usage": usage}
        return await self.json(request, answer)

    async def _tei(self, request: web.Request) -> web.StreamResponse:
        inputs = self.recorded(request).json["inputs"]
        if len(inputs) > self.script.most_texts and not isinstance(inputs, str):
            return web.json_response({"error": "batch size exceeded", "error_type": "Validation"}, status=413)
        return await self.json(request, self._vectors(inputs))

    async def _ollama(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        answer = {"model": body.get("model", ""), "embeddings": self._vectors(body["input"]), "total_duration": 1}
        return await self.json(request, answer)


@dataclass(kw_only=True)
class RerankScript(Script):
    """What a fake rerank server answers.

    Attributes:
        logits: Whether it sends raw logits instead of scores from 0 to 1.
        most_texts: Texts it takes in one request.
    """

    logits: bool = False
    most_texts: int = 32


class FakeReranker(FakeServer):
    """A fake rerank server: the score is the share of the question's words that a text has.

    Args:
        script: What it answers and how.
        dialect: Whose interface it speaks; `llamacpp` answers in the shape it was asked in, with raw logits.
        prefix: Put before all paths.
        paths: Its paths, where they are others than the dialect's own.
    """

    script: RerankScript

    def __init__(
        self,
        script: RerankScript | None = None,
        *,
        dialect: Literal["tei", "cohere", "score", "llamacpp"] = "tei",
        prefix: str = "",
        paths: Sequence[str] = (),
    ) -> None:
        super().__init__(script or RerankScript(), prefix=prefix)
        self._dialect = dialect
        self._paths = tuple(paths)

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each path."""
        paths, handler = {
            "tei": (("/rerank",), self._tei),
            "cohere": (("/v1/rerank", "/v2/rerank"), self._cohere),
            "score": (("/score", "/v1/score"), self._score),
            "llamacpp": (("/rerank", "/v1/rerank", "/reranking", "/v1/reranking"), self._llamacpp),
        }[self._dialect]
        return {("POST", path): handler for path in self._paths or paths}

    def _ranks(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Return index and score, best first."""
        scores = [(index, word_overlap(query, text)) for index, text in enumerate(texts)]
        if self.script.logits or self._dialect == "llamacpp":
            scores = [(index, 12.0 * score - 6.0) for index, score in scores]
        return sorted(scores, key=lambda rank: -rank[1])

    async def _tei(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        if "texts" not in body:
            return web.json_response({"error": "missing field `texts`", "error_type": "Validation"}, status=422)
        if len(body["texts"]) > self.script.most_texts:
            return web.json_response({"error": "batch size exceeded", "error_type": "Validation"}, status=413)
        ranks = self._ranks(body["query"], body["texts"])
        return await self.json(request, [{"index": index, "score": score} for index, score in ranks])

    async def _cohere(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        if "documents" not in body:
            return web.json_response({"message": "invalid request: documents is required"}, status=400)
        return await self.json(request, self._cohere_answer(body))

    def _cohere_answer(self, body: dict[str, Any]) -> dict[str, Any]:
        ranks = self._ranks(body["query"], body["documents"])[: body.get("top_n") or None]
        results = [{"index": index, "relevance_score": score} for index, score in ranks]
        return {"id": "rerank-fake", "results": results, "meta": {"billed_units": {"search_units": 1}}}

    async def _score(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        ranks = self._ranks(body["text_1"], body["text_2"])
        data = [{"index": index, "object": "score", "score": score} for index, score in ranks]
        return await self.json(request, {"id": "score-fake", "object": "list", "data": data, "usage": {}})

    async def _llamacpp(self, request: web.Request) -> web.StreamResponse:
        return await (self._tei(request) if "texts" in self.recorded(request).json else self._cohere(request))


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
