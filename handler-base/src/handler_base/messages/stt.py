"""Messages of live transcription."""

from __future__ import annotations

from handler_base.messages._base import Message

__all__ = ["STTInterrupt", "STTStreamMessage", "STTTranscription"]


class STTStreamMessage(Message):
    """A step of a live audio session; `type` is `start`, `chunk`, `state_change` or `end`.

    `audio_encoding` is 1 pcm_s16le, 2 wav, 3 ogg_opus, 4 mp3; 0 means pcm_s16le.
    """

    type: str = ""
    audio: bytes = b""
    state: str = ""
    speaker_id: str = ""
    sample_rate: int = 0
    channels: int = 0
    bit_depth: int = 0
    audio_encoding: int = 0
    language: str = ""
    sequence: int = 0


class STTTranscription(Message):
    """What was understood so far (`is_partial`) or for good (`is_final`)."""

    session_id: str = ""
    transcript: str = ""
    sequence: int = 0
    is_partial: bool = False
    is_final: bool = False
    timestamp: int = 0
    speaker_id: str = ""
    has_voice_activity: bool = False
    state: str = ""
    error_type: str = ""
    audio_ms: int = 0


class STTInterrupt(Message):
    """The user spoke while the answer was being spoken."""

    session_id: str = ""
    type: str = "interrupt"
    timestamp: int = 0
    speaker_id: str = ""
