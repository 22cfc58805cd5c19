"""Messages of speech synthesis."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int32, Int64, ListOf

__all__ = [
    "TTSAudioChunk",
    "TTSFullResponse",
    "TTSRequest",
    "TTSStatus",
    "TTSVoiceInfo",
    "TTSVoiceListResponse",
    "TTSVoiceRefreshResponse",
]


class TTSRequest(Message):
    """Text to speak; `speaker_wav_b64` is base64 text, the one place of the contract where audio is."""

    text: str = ""
    speaker: str = ""
    language: str = "en"
    speaker_wav_b64: str = ""
    stream: bool = True
    request_id: str = ""
    format: str = ""
    sample_rate: Int32 = 0


class TTSAudioChunk(Message):
    """A piece of speech; `total_chunks` is 0 while not known.

    `audio_encoding` is 1 pcm_s16le, 2 wav, 3 ogg_opus, 4 mp3.
    """

    session_id: str = ""
    chunk_index: Int32 = 0
    total_chunks: Int32 = 0
    audio: bytes = b""
    is_last: bool = False
    timestamp: Int64 = 0
    sample_rate: Int32 = 0
    channels: Int32 = 0
    bit_depth: Int32 = 0
    audio_encoding: Int32 = 0


class TTSFullResponse(Message):
    """The whole speech in one message."""

    session_id: str = ""
    audio: bytes = b""
    timestamp: Int64 = 0
    sample_rate: Int32 = 0
    channels: Int32 = 0
    bit_depth: Int32 = 0
    audio_encoding: Int32 = 0


class TTSStatus(Message):
    """Where a request stands: `queued`, `processing`, `completed`, `cancelled` or `error`."""

    session_id: str = ""
    status: str = ""
    message: str = ""
    timestamp: Int64 = 0


class TTSVoiceInfo(Message):
    """A custom voice."""

    name: str = ""
    language: str = ""
    model_type: str = ""
    created_at: str = ""


class TTSVoiceListResponse(Message):
    """The voices there are."""

    default_speaker: str = ""
    custom_voices: ListOf[TTSVoiceInfo] = msgspec.field(default_factory=list)
    last_refresh: Int64 = 0
    timestamp: Int64 = 0
    speakers: ListOf[str] = msgspec.field(default_factory=list)


class TTSVoiceRefreshResponse(Message):
    """The custom voices found again."""

    count: Int32 = 0
    custom_voices: ListOf[TTSVoiceInfo] = msgspec.field(default_factory=list)
    timestamp: Int64 = 0
