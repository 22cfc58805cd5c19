"""The wire contract: a typed class a message, the subjects they cross, the streams that keep them, the codec."""

from handler_base.messages._base import PACKAGE, Message, unix_now
from handler_base.messages.chat import (
    ChatRequest,
    ChatResponse,
    ChatStreamChunk,
    GreetingRequest,
    GreetingResponse,
    LoginEvent,
)
from handler_base.messages.codec import Encoding, decode, detect, encode
from handler_base.messages.common import CancelRequest, DocumentSource, ErrorResponse, Usage
from handler_base.messages.events import CHAT_EVENTS, PIPELINE_EVENTS, VOICE_EVENTS, DomainEvent
from handler_base.messages.pipeline import Artifact, PipelineStatus, PipelineTrigger
from handler_base.messages.stt import STTInterrupt, STTStreamMessage, STTTranscription
from handler_base.messages.tts import (
    TTSAudioChunk,
    TTSFullResponse,
    TTSRequest,
    TTSStatus,
    TTSVoiceInfo,
    TTSVoiceListResponse,
    TTSVoiceRefreshResponse,
)
from handler_base.messages.voice import VoiceFloor, VoiceRequest, VoiceResponse, VoiceStreamChunk

MESSAGES: tuple[type[Message], ...] = (
    ErrorResponse,
    LoginEvent,
    GreetingRequest,
    GreetingResponse,
    ChatRequest,
    ChatResponse,
    ChatStreamChunk,
    VoiceRequest,
    DocumentSource,
    VoiceResponse,
    VoiceStreamChunk,
    VoiceFloor,
    TTSRequest,
    TTSAudioChunk,
    TTSFullResponse,
    TTSStatus,
    TTSVoiceInfo,
    TTSVoiceListResponse,
    TTSVoiceRefreshResponse,
    STTStreamMessage,
    STTTranscription,
    STTInterrupt,
    PipelineTrigger,
    PipelineStatus,
    CancelRequest,
    Usage,
    Artifact,
    DomainEvent,
)
"""Every message of the contract."""

__all__ = [
    "CHAT_EVENTS",
    "MESSAGES",
    "PACKAGE",
    "PIPELINE_EVENTS",
    "VOICE_EVENTS",
    "Artifact",
    "CancelRequest",
    "ChatRequest",
    "ChatResponse",
    "ChatStreamChunk",
    "DocumentSource",
    "DomainEvent",
    "Encoding",
    "ErrorResponse",
    "GreetingRequest",
    "GreetingResponse",
    "LoginEvent",
    "Message",
    "PipelineStatus",
    "PipelineTrigger",
    "STTInterrupt",
    "STTStreamMessage",
    "STTTranscription",
    "TTSAudioChunk",
    "TTSFullResponse",
    "TTSRequest",
    "TTSStatus",
    "TTSVoiceInfo",
    "TTSVoiceListResponse",
    "TTSVoiceRefreshResponse",
    "Usage",
    "VoiceFloor",
    "VoiceRequest",
    "VoiceResponse",
    "VoiceStreamChunk",
    "decode",
    "detect",
    "encode",
    "unix_now",
]
