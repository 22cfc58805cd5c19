"""Domain events."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int64, MapOf

__all__ = ["CHAT_EVENTS", "PIPELINE_EVENTS", "VOICE_EVENTS", "DomainEvent"]

CHAT_EVENTS = (
    "user_login",
    "session_created",
    "message_received",
    "rag_query_executed",
    "inference_requested",
    "response_generated",
    "message_stored",
)
VOICE_EVENTS = (
    "request_received",
    "transcription_started",
    "transcription_completed",
    "rag_query_executed",
    "llm_inference_started",
    "llm_response_generated",
    "tts_synthesis_started",
    "audio_response_ready",
)
PIPELINE_EVENTS = (
    "trigger_received",
    "run_created",
    "step_started",
    "step_completed",
    "artifact_produced",
    "run_completed",
)


class DomainEvent(Message):
    """Something that happened. `occurred_at` is ISO 8601 in UTC, with Z.

    `data` is a map in MessagePack; Protocol Buffers carries it as the bytes of that map.
    """

    id: str = ""
    name: str = ""
    occurred_at: str = ""
    user_id: str = ""
    session_id: str = ""
    request_id: str = ""
    data: MapOf[str | Int64 | float | bool | None] = msgspec.field(default_factory=dict)
