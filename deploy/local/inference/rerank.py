"""Reranking over HTTP: text-embeddings-inference's `/rerank` and the `/v1/rerank` of Cohere, Jina and vLLM."""

from __future__ import annotations

import uuid
from typing import Any, Final

from aiohttp import web

from deploy.local.inference.bodies import boolean, integer, read_object, string, strings
from deploy.local.inference.reranker import Reranker
from handler_base.errors import InvalidRequestError

__all__ = ["RERANK_MODEL", "RerankRoutes"]

RERANK_MODEL: Final = "local-lexical-semantic"
_MAX_TEXTS: Final = 512


class RerankRoutes:
    """The endpoints of the reranker; `/rerank` speaks either dialect, told apart by `texts` and `documents`."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this family."""
        return [
            web.post("/rerank", self._either),
            web.post("/v1/rerank", self._either),
            web.post("/v2/rerank", self._either),
        ]

    async def _either(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        return await (self._tei(body) if "texts" in body else self._cohere(body))

    async def _tei(self, body: dict[str, Any]) -> web.Response:
        texts = strings(body, "texts", limit=_MAX_TEXTS)
        with_text = boolean(body, "return_text", default=False)
        rank = self._reranker.raw_score if boolean(body, "raw_scores", default=False) else self._reranker.score
        scores = await rank(string(body, "query"), texts)
        order = sorted(range(len(texts)), key=scores.__getitem__, reverse=True)
        answer = [
            {"index": index, "score": scores[index], **({"text": texts[index]} if with_text else {})} for index in order
        ]
        return web.json_response(answer)

    async def _cohere(self, body: dict[str, Any]) -> web.Response:
        documents = body.get("documents")
        if isinstance(documents, list):
            documents = [item.get("text") if isinstance(item, dict) else item for item in documents]
        texts = strings({"documents": documents}, "documents", limit=_MAX_TEXTS)
        if isinstance(body.get("documents"), str):
            raise InvalidRequestError("`documents` must be a list.")
        most = integer(body, "top_n", default=len(texts))
        with_text = boolean(body, "return_documents", default=False)
        scores = await self._reranker.score(string(body, "query"), texts)
        order = sorted(range(len(texts)), key=scores.__getitem__, reverse=True)[:most]
        results = [
            {
                "index": index,
                "relevance_score": scores[index],
                **({"document": {"text": texts[index]}} if with_text else {}),
            }
            for index in order
        ]
        tokens = sum(len(text.split()) for text in texts)
        answer = {"id": uuid.uuid4().hex, "model": RERANK_MODEL, "results": results, "usage": {"total_tokens": tokens}}
        return web.json_response(answer)
