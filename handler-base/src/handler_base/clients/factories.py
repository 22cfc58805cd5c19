"""The clients a service's settings ask for."""

from __future__ import annotations

from typing import Final

from handler_base.clients.embeddings import EMBEDDING_PATHS, EmbeddingsClient
from handler_base.clients.http import HttpEndpoints, HttpPool
from handler_base.clients.llm import CHAT_PATHS, LLMClient
from handler_base.clients.reranker import RERANK_PATHS, RerankerClient
from handler_base.clients.stt import TRANSCRIPTION_PATHS, STTClient
from handler_base.clients.tts import SPEECH_PATHS, TTSClient
from handler_base.config import InferenceSettings

__all__ = ["embeddings_client", "llm_client", "reranker_client", "stt_client", "tts_client"]

_LONGEST_SPEECH: Final = 256 * 1024 * 1024
"""Bytes; an hour and a half of raw samples."""


def llm_client(settings: InferenceSettings, pool: HttpPool) -> LLMClient:
    """Return the client of `VLLM_URL`."""
    http = HttpEndpoints(
        "llm",
        settings.vllm_url,
        pool=pool,
        api_key=settings.vllm_api_key.get_secret_value(),
        known_paths=CHAT_PATHS,
    )
    return LLMClient(
        http,
        model=settings.llm_model,
        max_tokens=settings.llm_max_tokens,
        temperature=settings.llm_temperature,
        dialect=settings.llm_dialect,
    )


def embeddings_client(settings: InferenceSettings, pool: HttpPool) -> EmbeddingsClient:
    """Return the client of `EMBEDDINGS_URL`."""
    http = HttpEndpoints(
        "embeddings",
        settings.embeddings_url,
        pool=pool,
        api_key=settings.embeddings_api_key.get_secret_value(),
        known_paths=EMBEDDING_PATHS,
    )
    return EmbeddingsClient(http, model=settings.embeddings_model, dialect=settings.embeddings_dialect)


def reranker_client(settings: InferenceSettings, pool: HttpPool) -> RerankerClient:
    """Return the client of `RERANKER_URL`."""
    http = HttpEndpoints(
        "reranker",
        settings.reranker_url,
        pool=pool,
        api_key=settings.reranker_api_key.get_secret_value(),
        known_paths=RERANK_PATHS,
    )
    return RerankerClient(http, model=settings.reranker_model, dialect=settings.reranker_dialect)


def stt_client(settings: InferenceSettings, pool: HttpPool) -> STTClient:
    """Return the client of `WHISPER_URL`."""
    http = HttpEndpoints(
        "stt",
        settings.whisper_url,
        pool=pool,
        api_key=settings.whisper_api_key.get_secret_value(),
        known_paths=TRANSCRIPTION_PATHS,
    )
    return STTClient(http, model=settings.whisper_model, dialect=settings.whisper_dialect)


def tts_client(settings: InferenceSettings, pool: HttpPool) -> TTSClient:
    """Return the client of `TTS_URL`."""
    http = HttpEndpoints(
        "tts",
        settings.tts_url,
        pool=pool,
        api_key=settings.tts_api_key.get_secret_value(),
        known_paths=SPEECH_PATHS,
        most_bytes=_LONGEST_SPEECH,
    )
    return TTSClient(
        http,
        model=settings.tts_model,
        voice=settings.tts_voice,
        dialect=settings.tts_dialect,
        sample_rate=settings.tts_sample_rate,
    )
