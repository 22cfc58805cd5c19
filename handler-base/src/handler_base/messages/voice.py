"""Messages of the voice assistant."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int32, Int64, ListOf, MapOf
from handler_base.messages.common import DocumentSource

__all__ = ["VoiceFloor", "VoiceRequest", "VoiceResponse", "VoiceStreamChunk"]


class VoiceRequest(Message):
    """A spoken question: whole audio in `audio`, or a reference to it in `audio_ref` (``bucket/name``)."""

    request_id: str = ""
    audio: bytes = b""
    language: str = ""
    collection: str = ""
    user_id: str = ""
    session_id: str = ""
    format: str = "wav"
    sample_rate: Int32 = 16000
    premium: bool = False
    enable_rag: bool = True
    response_subject: str = ""
    voice: str = ""
    enable_streaming: bool = False
    audio_ref: str = ""


class VoiceResponse(Message):
    """The final answer, written and spoken."""

    request_id: str = ""
    response: str = ""
    audio: bytes = b""
    transcription: str = ""
    sources: ListOf[DocumentSource] = msgspec.field(default_factory=list)
    error: str = ""
    audio_format: str = ""
    sample_rate: Int32 = 0
    latency_ms: float = 0.0
    timings_ms: MapOf[float] = msgspec.field(default_factory=dict)
    rag_docs_used: Int32 = 0
    session_id: str = ""


class VoiceStreamChunk(Message):
    """A piece of a spoken answer; `type` is `transcription`, `text`, `audio`, `done` or `error`."""

    request_id: str = ""
    type: str = ""
    content: str = ""
    audio: bytes = b""
    sequence: Int32 = 0
    done: bool = False
    timestamp: Int64 = 0
    audio_format: str = ""
    sample_rate: Int32 = 0
    error_type: str = ""


class VoiceFloor(Message):
    """Between replicas of the voice assistant: what was said in a live session in which another one speaks.

    `questions` are those without an answer so far, by their positions in the stream, and `position` is the newest of
    them. In an answer `taken` says that the addressed replica has the session and answers; without it, `questions` are
    those that it leaves.
    """

    session_id: str = ""
    position: Int64 = 0
    questions: MapOf[str] = msgspec.field(default_factory=dict)
    taken: bool = False
