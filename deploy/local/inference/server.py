"""Puts the endpoint families together into one web application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.chat import CHAT_MODEL, FINGERPRINT, ChatRoutes
from deploy.local.inference.embeddings import EMBEDDING_MODEL, EmbeddingRoutes
from deploy.local.inference.encoder import SentenceEncoder
from deploy.local.inference.extractive import ABOUT, ExtractiveModel
from deploy.local.inference.rerank import RERANK_MODEL, RerankRoutes
from deploy.local.inference.reranker import Reranker
from deploy.local.inference.speech import SpeechRoutes
from deploy.local.inference.speech_engines import Speaker
from deploy.local.inference.terms import Lexicon
from deploy.local.inference.transcription import TranscriptionRoutes
from deploy.local.inference.transcription_pool import Recognizer
from handler_base.errors import FleetError, InternalError

__all__ = ["ServerOptions", "build_app"]

_LOG: Final = logging.getLogger(__name__)
_MAX_BODY: Final = 8 * 1024 * 1024
_OWNER: Final = "local stand-in"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server behaves."""

    words_per_second: float = 60.0
    """Pace of streamed answers; 0 for no pause."""
    workers: int = 2
    """Runs of the encoder at once, one thread each."""
    speaker: Speaker | None = None
    """What speaks; None: nothing does."""
    recognizer: Recognizer | None = None
    """What transcribes; None: nothing does."""


class _Status:
    """What `/health` and `/v1/models` tell."""

    def __init__(self, batcher: EmbeddingBatcher, options: ServerOptions) -> None:
        self.failures = 0
        self._batcher = batcher
        self._speech = options.speaker.name if options.speaker is not None else None
        self._transcription = "pocketsphinx" if options.recognizer is not None else None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/health", self._health), web.get("/v1/models", self._models)]

    async def _health(self, _request: web.Request) -> web.Response:
        models = {
            "chat": CHAT_MODEL,
            "embeddings": EMBEDDING_MODEL,
            "reranker": RERANK_MODEL,
            "speech": self._speech,
            "transcription": self._transcription,
        }
        failures = self.failures + self._batcher.failures
        status = {"status": "ok", "kind": FINGERPRINT, "about": ABOUT, "models": models, "failures": failures}
        return web.json_response(status)

    async def _models(self, _request: web.Request) -> web.Response:
        model = {"id": CHAT_MODEL, "object": "model", "created": 0, "owned_by": _OWNER, "description": ABOUT}
        return web.json_response({"object": "list", "data": [model]})


def _errors_as_json(status: _Status) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except FleetError as error:
            return _error(error.code, error.message, error.type)
        except web.HTTPException as error:
            return _error(error.status, error.reason, "invalid_request")
        except Exception:  # noqa: BLE001 - one bad request must not take the server down
            status.failures += 1
            _LOG.exception("request failed: %s", request.path)
            return _error(InternalError().code, InternalError.default_message, InternalError.type)

    return middleware


def _error(code: int, message: str, kind: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": kind, "code": code}}, status=code)


def build_app(encoder: SentenceEncoder, options: ServerOptions | None = None) -> web.Application:
    """Return the application; its batcher runs as long as the application does.

    Args:
        encoder: The loaded model.
        options: How the server behaves.
    """
    options = options or ServerOptions()
    batcher = EmbeddingBatcher(encoder, workers=options.workers)
    status = _Status(batcher, options)
    lexicon = Lexicon(encoder)
    chat = ChatRoutes(
        ExtractiveModel(batcher, lexicon), encoder.count_tokens, words_per_second=options.words_per_second
    )
    app = web.Application(middlewares=[_errors_as_json(status)], client_max_size=_MAX_BODY)
    for family in (
        status,
        EmbeddingRoutes(batcher, max_tokens=encoder.max_tokens),
        RerankRoutes(Reranker(batcher, lexicon)),
        chat,
        SpeechRoutes(options.speaker),
        TranscriptionRoutes(options.recognizer),
    ):
        app.add_routes(family.routes())

    async def run_batcher(_app: web.Application) -> AsyncIterator[None]:
        async with batcher:
            yield

    app.cleanup_ctx.append(run_batcher)
    return app
