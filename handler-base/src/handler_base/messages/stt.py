"""Messages of live transcription."""

from __future__ import annotations

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int32, Int64

__all__ = ["STTInterrupt", "STTStreamMessage", "STTTranscription"]


class STTStreamMessage(Message):
    """A step of a live audio session; `type` is `start`, `chunk`, `state_change` or `end`.

    `audio_encoding` is 1 pcm_s16le, 2 wav, 3 ogg_opus, 4 mp3; 0 means pcm_s16le.
    """

    type: str = ""
    audio: bytes = b""
    state: str = ""
    speaker_id: str = ""
    sample_rate: Int32 = 0
    channels: Int32 = 0
    bit_depth: Int32 = 0
    audio_encoding: Int32 = 0
    language: str = ""
    sequence: Int32 = 0


class STTTranscription(Message):
    """What was understood so far (`is_partial`) or for good (`is_final`)."""

    session_id: str = ""
    transcript: str = ""
    sequence: Int32 = 0
    is_partial: bool = False
    is_final: bool = False
    timestamp: Int64 = 0
    speaker_id: str = ""
    has_voice_activity: bool = False
    state: str = ""
    error_type: str = ""
    audio_ms: Int64 = 0


class STTInterrupt(Message):
    """The user spoke while the answer was being spoken."""

    session_id: str = ""
    type: str = "interrupt"
    timestamp: Int64 = 0
    speaker_id: str = ""
