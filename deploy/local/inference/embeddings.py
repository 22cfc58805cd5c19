"""Embeddings over HTTP: OpenAI's `/v1/embeddings` and the `/embed` and `/info` of text-embeddings-inference."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Final

import numpy as np
from aiohttp import web

from deploy.local.inference.batching import Embedded, EmbeddingBatcher
from deploy.local.inference.bodies import boolean, read_object, strings
from deploy.local.inference.encoder import DIMENSION
from deploy.local.inference.weights import Matrix
from handler_base.errors import InvalidRequestError

__all__ = ["EMBEDDING_MODEL", "EmbeddingRoutes"]

EMBEDDING_MODEL: Final = "all-MiniLM-L6-v2"
_MAX_TEXTS: Final = 1024


class EmbeddingRoutes:
    """The endpoints of the sentence encoder.

    Args:
        batcher: Where vectors come from.
        max_tokens: Longest text in tokens, told by `/info`.
    """

    def __init__(self, batcher: EmbeddingBatcher, *, max_tokens: int) -> None:
        self._batcher = batcher
        self._max_tokens = max_tokens

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this family."""
        return [
            web.post("/v1/embeddings", self._openai),
            web.post("/embed", self._tei),
            web.get("/info", self._info),
        ]

    async def _openai(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        encoding = body.get("encoding_format") or "float"
        if encoding not in {"float", "base64"}:
            raise InvalidRequestError("`encoding_format` must be float or base64.")
        if body.get("dimensions") not in {None, DIMENSION}:
            raise InvalidRequestError(f"`dimensions` must be {DIMENSION}: the model has no other.")
        embedded = await self._batcher.embed(strings(body, "input", limit=_MAX_TEXTS))
        text = await asyncio.to_thread(_openai_answer, embedded, encoding)
        return web.Response(text=text, content_type="application/json")

    async def _tei(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if not boolean(body, "normalize", default=True):
            raise InvalidRequestError("`normalize` must be true: the vectors have length 1.")
        embedded = await self._batcher.embed(strings(body, "inputs", limit=_MAX_TEXTS))
        text = await asyncio.to_thread(json.dumps, _numbers(embedded.vectors))
        return web.Response(text=text, content_type="application/json")

    async def _info(self, _request: web.Request) -> web.Response:
        info: dict[str, Any] = {
            "model_id": EMBEDDING_MODEL,
            "model_dtype": "float32",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_input_length": self._max_tokens,
            "max_client_batch_size": _MAX_TEXTS,
            "auto_truncate": True,
            "version": "local stand-in (numpy on the CPU)",
        }
        return web.json_response(info)


def _numbers(vectors: Matrix) -> list[Any]:
    """Return nested lists of numbers with the eight digits that float32 has, and not the noise after them."""
    numbers: list[Any] = vectors.astype(np.float64).round(8).tolist()
    return numbers


def _openai_answer(embedded: Embedded, encoding: str) -> str:
    rows: list[Any]
    if encoding == "base64":
        rows = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in embedded.vectors]
    else:
        rows = _numbers(embedded.vectors)
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return json.dumps({"object": "list", "model": EMBEDDING_MODEL, "data": data, "usage": usage})
