"""Messages of speech synthesis."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message

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
    sample_rate: int = 0


class TTSAudioChunk(Message):
    """A piece of speech; `total_chunks` is 0 while not known.

    `audio_encoding` is 1 pcm_s16le, 2 wav, 3 ogg_opus, 4 mp3.
    """

    session_id: str = ""
    chunk_index: int = 0
    total_chunks: int = 0
    audio: bytes = b""
    is_last: bool = False
    timestamp: int = 0
    sample_rate: int = 0
    channels: int = 0
    bit_depth: int = 0
    audio_encoding: int = 0


class TTSFullResponse(Message):
    """The whole speech in one message."""

    session_id: str = ""
    audio: bytes = b""
    timestamp: int = 0
    sample_rate: int = 0
    channels: int = 0
    bit_depth: int = 0
    audio_encoding: int = 0


class TTSStatus(Message):
    """Where a request stands: `queued`, `processing`, `completed`, `cancelled` or `error`."""

    session_id: str = ""
    status: str = ""
    message: str = ""
    timestamp: int = 0


class TTSVoiceInfo(Message):
    """A custom voice."""

    name: str = ""
    language: str = ""
    model_type: str = ""
    created_at: str = ""


class TTSVoiceListResponse(Message):
    """The voices there are."""

    default_speaker: str = ""
    custom_voices: list[TTSVoiceInfo] = msgspec.field(default_factory=list)
    last_refresh: int = 0
    timestamp: int = 0
    speakers: list[str] = msgspec.field(default_factory=list)


class TTSVoiceRefreshResponse(Message):
    """The custom voices found again."""

    count: int = 0
    custom_voices: list[TTSVoiceInfo] = msgspec.field(default_factory=list)
    timestamp: int = 0
