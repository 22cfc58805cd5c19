"""Messages of the text chat."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int32, Int64, ListOf, MapOf
from handler_base.messages.common import DocumentSource, Usage

__all__ = ["ChatRequest", "ChatResponse", "ChatStreamChunk", "GreetingRequest", "GreetingResponse", "LoginEvent"]


class LoginEvent(Message):
    """A user opened the chat; `timestamp` in Unix seconds."""

    user_id: str = ""
    username: str = ""
    nickname: str = ""
    premium: bool = False
    timestamp: Int64 = 0


class GreetingRequest(Message):
    """Asks for a line of welcome."""

    user_id: str = ""
    username: str = ""
    nickname: str = ""
    premium: bool = False


class GreetingResponse(Message):
    """The line of welcome."""

    user_id: str = ""
    greeting: str = ""


class ChatRequest(Message):
    """A question in text.

    `enable_streaming` left out means what the subject it came on says: see `handler_base.messages.subjects`;
    `language` left out means the user's preference, or English.
    """

    request_id: str = ""
    user_id: str = ""
    username: str = ""
    message: str = ""
    query: str = ""
    premium: bool = False
    enable_rag: bool = True
    enable_reranker: bool = True
    enable_streaming: bool | None = None
    top_k: Int32 = 5
    collection: str = ""
    enable_tts: bool = False
    system_prompt: str = ""
    response_subject: str = ""
    session_id: str = ""
    language: str = ""
    rerank_top_k: Int32 = 3
    metadata: MapOf[str] = msgspec.field(default_factory=dict)

    @property
    def question(self) -> str:
        """The question itself: `message`, or `query` of older publishers."""
        return self.message or self.query


class ChatResponse(Message):
    """The final answer; `response` and `response_text` are the same text, for two generations of readers."""

    user_id: str = ""
    response: str = ""
    response_text: str = ""
    used_rag: bool = False
    rag_sources: ListOf[str] = msgspec.field(default_factory=list)
    success: bool = True
    audio: bytes = b""
    error: str = ""
    request_id: str = ""
    sources: ListOf[DocumentSource] = msgspec.field(default_factory=list)
    model: str = ""
    usage: Usage | None = None
    latency_ms: float = 0.0
    timings_ms: MapOf[float] = msgspec.field(default_factory=dict)
    session_id: str = ""
    audio_format: str = ""


class ChatStreamChunk(Message):
    """A piece of the answer; `sequence` counts from 0 without gaps, the last one has `done`."""

    request_id: str = ""
    type: str = "chunk"
    content: str = ""
    done: bool = False
    timestamp: Int64 = 0
    sequence: Int32 = 0
    error_type: str = ""
