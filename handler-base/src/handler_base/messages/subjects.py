"""The subjects of the contract, and what crosses them.

Everything that names a subject (subscriptions, permissions, the AsyncAPI document, tests) takes it from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.messages._base import Message
from handler_base.messages.chat import (
    ChatRequest,
    ChatResponse,
    ChatStreamChunk,
    GreetingRequest,
    GreetingResponse,
    LoginEvent,
)
from handler_base.messages.common import CancelRequest
from handler_base.messages.events import DomainEvent
from handler_base.messages.pipeline import PipelineStatus, PipelineTrigger
from handler_base.messages.stt import STTInterrupt, STTStreamMessage, STTTranscription
from handler_base.messages.tts import (
    TTSAudioChunk,
    TTSFullResponse,
    TTSRequest,
    TTSStatus,
    TTSVoiceListResponse,
    TTSVoiceRefreshResponse,
)
from handler_base.messages.voice import VoiceFloor, VoiceRequest, VoiceResponse, VoiceStreamChunk

__all__ = [
    "ALL",
    "Subject",
    "check_token",
    "is_ingress",
    "is_token",
    "patterns_overlap",
    "response_subject_allowed",
    "subject_matches",
]

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

KIB: Final = 1024
MIB: Final = 1024 * KIB

CHAT = "chat-handler"
VOICE = "voice-assistant"
STT = "stt-module"
TTS = "tts-module"
PIPELINE = "pipeline-bridge"
CLIENT = "client"


def check_token(name: str, value: str) -> str:
    """Return `value` if it is a single subject token of the contract.

    Raises:
        InvalidRequestError: It is empty, too long or has other characters than ``A-Z a-z 0-9 _ -``.
    """
    if not is_token(value):
        raise InvalidRequestError(f"{name} must be 1 to 128 of A-Z, a-z, 0-9, '_' and '-'.")
    return value


def is_token(value: str) -> bool:
    """Whether `value` is a single subject token of the contract."""
    return _TOKEN.fullmatch(value) is not None


@dataclass(frozen=True)
class Subject:
    """A subject of the contract.

    Attributes:
        template: With placeholders, as the contract writes it; safe as a metric label.
        messages: What crosses it.
        publishers: Who publishes on it: service names, or ``client``.
        receivers: Who subscribes to it.
        description: One line for the AsyncAPI document.
        max_bytes: Largest body that is read from it.
        replies: What comes back in the reply inbox of a question.
        pattern: The template with ``*`` for each placeholder, for subscriptions.
    """

    template: str
    messages: tuple[type[Message], ...]
    publishers: tuple[str, ...]
    receivers: tuple[str, ...]
    description: str
    max_bytes: int = 64 * KIB
    replies: tuple[type[Message], ...] = ()
    pattern: str = field(init=False)
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", _PLACEHOLDER.sub("*", self.template))
        parts = _PLACEHOLDER.split(self.template)
        literal = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^.]+)" for index, part in enumerate(parts)]
        object.__setattr__(self, "_regex", re.compile("".join(literal)))

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the tokens that vary."""
        return tuple(_PLACEHOLDER.findall(self.template))

    def format(self, **tokens: str) -> str:
        """Return the subject for these tokens.

        Raises:
            InvalidRequestError: A token would change the subject's shape.
        """
        for name, value in tokens.items():
            check_token(name, value)
        return self.template.format_map(tokens)

    def match(self, subject: str) -> dict[str, str] | None:
        """Return the tokens of a concrete subject, or None when it is another one."""
        found = self._regex.fullmatch(subject)
        return found.groupdict() if found else None


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a NATS pattern with ``*`` and ``>``."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in {"*", given[index]}:
            return False
    return len(wanted) == len(given)


def patterns_overlap(one: str, other: str) -> bool:
    """Whether some subject falls under both of two NATS patterns."""
    left, right = one.split("."), other.split(".")
    for mine, yours in zip(left, right, strict=False):
        if ">" in {mine, yours}:
            return True
        if mine != yours and "*" not in {mine, yours}:
            return False
    return len(left) == len(right)


CHAT_LOGIN = Subject(
    "ai.chat.user.{user_id}.login", (LoginEvent,), (CLIENT,), (CHAT,), "Opens the chat session of a user."
)
CHAT_GREETING_REQUEST = Subject(
    "ai.chat.user.{user_id}.greeting.request", (GreetingRequest,), (CLIENT,), (CHAT,), "Asks for a line of welcome."
)
CHAT_GREETING_RESPONSE = Subject(
    "ai.chat.user.{user_id}.greeting.response", (GreetingResponse,), (CHAT,), (CLIENT,), "The line of welcome."
)
CHAT_USER_MESSAGE = Subject(
    "ai.chat.user.{user_id}.message", (ChatRequest,), (CLIENT,), (CHAT,), "A question, kept until it is answered."
)
CHAT_REQUEST = Subject(
    "ai.chat.request",
    (ChatRequest,),
    (CLIENT,),
    (CHAT,),
    "A question by request-reply or plain publish.",
    replies=(ChatResponse,),
)
CHAT_RESPONSE = Subject(
    "ai.chat.response.{request_id}", (ChatResponse,), (CHAT,), (CLIENT,), "The final answer.", 8 * MIB
)
CHAT_RESPONSE_STREAM = Subject(
    "ai.chat.response.stream.{request_id}", (ChatStreamChunk,), (CHAT,), (CLIENT,), "The answer as it is written."
)
CHAT_CANCEL = Subject("ai.chat.cancel.{request_id}", (CancelRequest,), (CLIENT,), (CHAT,), "Stops a running answer.")

VOICE_REQUEST_LEGACY = Subject(
    "voice.request",
    (VoiceRequest,),
    (CLIENT,),
    (VOICE,),
    "A spoken question, the older subject.",
    8 * MIB,
    replies=(VoiceResponse,),
)
VOICE_REQUEST = Subject(
    "ai.voice.request",
    (VoiceRequest,),
    (CLIENT,),
    (VOICE,),
    "A spoken question by request-reply or publish.",
    8 * MIB,
    replies=(VoiceResponse,),
)
VOICE_USER_REQUEST = Subject(
    "ai.voice.user.{user_id}.request", (VoiceRequest,), (CLIENT,), (VOICE,), "A spoken question, kept.", 8 * MIB
)
VOICE_RESPONSE_LEGACY = Subject(
    "voice.response.{request_id}", (VoiceResponse,), (VOICE,), (CLIENT,), "The answer, the older subject.", 8 * MIB
)
VOICE_RESPONSE = Subject(
    "ai.voice.response.{request_id}", (VoiceResponse,), (VOICE,), (CLIENT,), "The spoken answer.", 8 * MIB
)
VOICE_RESPONSE_STREAM = Subject(
    "ai.voice.response.stream.{request_id}",
    (VoiceStreamChunk,),
    (VOICE,),
    (CLIENT,),
    "Transcript, text and audio as they come.",
    MIB,
)
VOICE_CANCEL = Subject("ai.voice.cancel.{request_id}", (CancelRequest,), (CLIENT,), (VOICE,), "Stops a spoken answer.")

VOICE_FLOOR = Subject(
    "ai.voice.floor.{replica_id}",
    (VoiceFloor,),
    (VOICE,),
    (VOICE,),
    "Between replicas: what was said in a live session in which the addressed one speaks.",
)

STT_STREAM = Subject(
    "ai.voice.stream.{session_id}",
    (STTStreamMessage,),
    (CLIENT, VOICE),
    (STT,),
    "Live audio from a microphone, and whether it is listened to or answered.",
    MIB,
)
STT_TRANSCRIPTION = Subject(
    "ai.voice.transcription.{session_id}",
    (STTTranscription, STTInterrupt),
    (STT,),
    (CLIENT, VOICE),
    "What was understood, and interrupts.",
)

STT_REPLICA = Subject(
    "ai.voice.stt.replica.{replica}",
    (STTStreamMessage,),
    (STT,),
    (STT,),
    "A step of a session, passed on to the replica that has it.",
    MIB + 64 * KIB,
)

TTS_REQUEST = Subject("ai.voice.tts.request.{session_id}", (TTSRequest,), (CLIENT,), (TTS,), "Text to speak.", 8 * MIB)
TTS_AUDIO = Subject(
    "ai.voice.tts.audio.{session_id}",
    (TTSAudioChunk, TTSFullResponse),
    (TTS, VOICE),
    (CLIENT,),
    "Speech in chunks, or in one piece.",
    8 * MIB,
)
TTS_STATUS = Subject(
    "ai.voice.tts.status.{session_id}", (TTSStatus,), (TTS, VOICE), (CLIENT,), "Where a speech stands."
)
TTS_CANCEL = Subject("ai.voice.tts.cancel.{session_id}", (CancelRequest,), (CLIENT,), (TTS, VOICE), "Stops the speech.")
TTS_VOICES_LIST = Subject(
    "ai.voice.tts.voices.list",
    (TTSVoiceListResponse,),
    (CLIENT,),
    (TTS,),
    "Asks which voices there are.",
    replies=(TTSVoiceListResponse,),
)
TTS_VOICES_REFRESH = Subject(
    "ai.voice.tts.voices.refresh",
    (TTSVoiceRefreshResponse,),
    (CLIENT,),
    (TTS,),
    "Looks for custom voices again.",
    replies=(TTSVoiceRefreshResponse,),
)

PIPELINE_TRIGGER = Subject(
    "ai.pipeline.trigger",
    (PipelineTrigger,),
    (CLIENT,),
    (PIPELINE,),
    "Starts a pipeline run, once.",
    replies=(PipelineStatus,),
)
PIPELINE_STATUS = Subject(
    "ai.pipeline.status.{request_id}", (PipelineStatus,), (PIPELINE,), (CLIENT,), "Where a run stands."
)
PIPELINE_CANCEL = Subject("ai.pipeline.cancel.{request_id}", (CancelRequest,), (CLIENT,), (PIPELINE,), "Stops a run.")

CHAT_EVENT = Subject("ai.chat.event.{name}", (DomainEvent,), (CHAT,), (CHAT, CLIENT), "What happened in the chat.", MIB)
VOICE_EVENT = Subject(
    "ai.voice.event.{name}", (DomainEvent,), (VOICE, STT, TTS), (CLIENT,), "What happened in the voice services.", MIB
)
PIPELINE_EVENT = Subject(
    "ai.pipeline.event.{name}", (DomainEvent,), (PIPELINE,), (CHAT, CLIENT), "What happened to pipeline runs."
)
DEAD_LETTER = Subject(
    "ai.dlq.{stream}.{consumer}",
    (),
    (CHAT, VOICE, STT, TTS, PIPELINE),
    (CLIENT,),
    "What could not be handled: the original bytes, the reason in headers.",
    8 * MIB,
)

ALL: Final[tuple[Subject, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Subject))


def _regex(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches any of these NATS patterns, at a fraction of the time it takes one by one."""
    parts = (re.escape(pattern).replace(r"\*", r"[^.]+").replace(">", ".+") for pattern in patterns)
    return re.compile("|".join(parts))


_INGRESS: Final = _regex(
    (*(subject.pattern for subject in ALL if set(subject.receivers) - {CLIENT}), "ai.dlq.>", "ai.*.event.>")
)
_OWN_RESPONSES: Final = _regex(("_INBOX.>", "ai.*.response.>"))
_CONCRETE: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def is_ingress(subject: str) -> bool:
    """Whether a service listens to a subject, or trusts what lies there: no caller may have it written to."""
    return _INGRESS.fullmatch(subject) is not None


def response_subject_allowed(subject: str, allowed: tuple[str, ...] = ()) -> bool:
    """Whether an answer may go to a subject the caller chose.

    What a service listens to is never allowed, whatever the patterns say: an answer there would be a question.

    Args:
        subject: What the request names.
        allowed: Patterns the operator allows besides `_INBOX.>` and `ai.*.response.>`.
    """
    if len(subject) > 256 or not _CONCRETE.fullmatch(subject) or is_ingress(subject):
        return False
    return bool(_OWN_RESPONSES.fullmatch(subject)) or any(subject_matches(pattern, subject) for pattern in allowed)
