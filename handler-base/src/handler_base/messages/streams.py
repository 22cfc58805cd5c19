"""The JetStream streams of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

__all__ = [
    "AI_CHAT_STREAM",
    "AI_DEAD_LETTER",
    "AI_EVENTS",
    "AI_PIPELINE",
    "AI_VOICE_STREAM",
    "COMPANIONS_CHAT",
    "COMPANIONS_LOGINS",
    "PIPELINE_BRIDGES",
    "PIPELINE_RUNS",
    "STREAMS",
    "VOICE_SESSIONS",
    "BucketSpec",
    "StreamSpec",
]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream as the contract fixes it.

    Attributes:
        name: The stream's name.
        subjects: Subject patterns it captures; those of two streams never overlap.
        max_age: How long a message is kept.
        storage: Where it is kept.
        description: One line for operators.
        duplicate_window: How long `Nats-Msg-Id` is remembered.
    """

    name: str
    subjects: tuple[str, ...]
    max_age: timedelta
    storage: Literal["file", "memory"]
    description: str
    duplicate_window: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A key-value bucket that one service keeps to itself.

    Attributes:
        name: The bucket's name.
        description: One line for operators.
        history: Values kept of each key.
        ttl: How long a value is kept; None: for good.
        storage: Where it is kept.
    """

    name: str
    description: str
    history: int = 1
    ttl: timedelta | None = None
    storage: Literal["file", "memory"] = "file"

    @property
    def stream(self) -> str:
        """Name of the stream that holds the bucket."""
        return f"KV_{self.name}"


COMPANIONS_LOGINS = StreamSpec(
    "COMPANIONS_LOGINS", ("ai.chat.user.*.login",), timedelta(days=7), "file", "Logins: each opens a chat session."
)
COMPANIONS_CHAT = StreamSpec(
    "COMPANIONS_CHAT",
    ("ai.chat.user.*.message", "ai.chat.user.*.greeting.*"),
    timedelta(days=30),
    "file",
    "Questions in text, and greetings.",
)
AI_CHAT_STREAM = StreamSpec(
    "AI_CHAT_STREAM",
    ("ai.chat.response.stream.>",),
    timedelta(minutes=5),
    "memory",
    "Answers as they are written, for clients that reconnect.",
)
AI_VOICE_STREAM = StreamSpec(
    "AI_VOICE_STREAM",
    ("ai.voice.user.*.request", "ai.voice.response.>", "ai.voice.transcription.*"),
    timedelta(hours=1),
    "file",
    "Spoken questions, their answers, and transcriptions.",
)
AI_PIPELINE = StreamSpec(
    "AI_PIPELINE",
    ("ai.pipeline.trigger", "ai.pipeline.status.*"),
    timedelta(days=30),
    "file",
    "Pipeline triggers and the status of runs.",
)
AI_EVENTS = StreamSpec(
    "AI_EVENTS",
    # The server refuses `ai.*.event.>`: it overlaps with the `ai.dlq.>` of dead letters.
    ("ai.chat.event.>", "ai.voice.event.>", "ai.pipeline.event.>"),
    timedelta(days=30),
    "file",
    "Domain events.",
)
AI_DEAD_LETTER = StreamSpec("AI_DEAD_LETTER", ("ai.dlq.>",), timedelta(days=30), "file", "What could not be handled.")

PIPELINE_RUNS = BucketSpec(
    "PIPELINE_RUNS", "Where each pipeline run stands: `open.` those under way, `done.` those that ended, for good."
)
PIPELINE_BRIDGES = BucketSpec(
    "PIPELINE_BRIDGES", "The bridges that are alive; runs of one that is not go to another.", ttl=timedelta(seconds=3)
)
VOICE_SESSIONS = BucketSpec(
    "VOICE_SESSIONS",
    "The live sessions in which an answer is made or heard: which replica has each.",
    ttl=timedelta(hours=1),
    storage="memory",
)

STREAMS: tuple[StreamSpec, ...] = (
    COMPANIONS_LOGINS,
    COMPANIONS_CHAT,
    AI_CHAT_STREAM,
    AI_VOICE_STREAM,
    AI_PIPELINE,
    AI_EVENTS,
    AI_DEAD_LETTER,
)
