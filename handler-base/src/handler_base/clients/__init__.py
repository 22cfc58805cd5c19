"""Clients of the inference servers, on one pool of HTTP connections.

    pool = HttpPool()
    llm = llm_client(settings, pool)
    async for delta in llm.stream([ChatMessage("user", "Hello")], deadline=Deadline.after(timedelta(seconds=30))):
        print(delta.text, end="")

Each client speaks the interfaces of its kind of server and finds out which one it has before it. All of them raise
only the errors of `handler_base.errors`.
"""

from __future__ import annotations

from handler_base.clients.audio import SpeechAudio, SpeechChunk
from handler_base.clients.chat import (
    ChatMessage,
    Completion,
    Delta,
    PromptPart,
    Usage,
    decode_messages,
    encode_messages,
)
from handler_base.clients.embeddings import EmbeddingsClient, RawVector
from handler_base.clients.endpoint import StreamTimeouts
from handler_base.clients.factories import embeddings_client, llm_client, reranker_client, stt_client, tts_client
from handler_base.clients.http import HttpEndpoints, HttpPool
from handler_base.clients.llm import LLMClient
from handler_base.clients.reranker import RerankerClient
from handler_base.clients.retry import RetryOptions
from handler_base.clients.stt import STTClient
from handler_base.clients.transcription import Transcription, TranscriptionPiece
from handler_base.clients.tts import TTSClient

__all__ = [
    "ChatMessage",
    "Completion",
    "Delta",
    "EmbeddingsClient",
    "HttpEndpoints",
    "HttpPool",
    "LLMClient",
    "PromptPart",
    "RawVector",
    "RerankerClient",
    "RetryOptions",
    "STTClient",
    "SpeechAudio",
    "SpeechChunk",
    "StreamTimeouts",
    "TTSClient",
    "Transcription",
    "TranscriptionPiece",
    "Usage",
    "decode_messages",
    "embeddings_client",
    "encode_messages",
    "llm_client",
    "reranker_client",
    "stt_client",
    "tts_client",
]
