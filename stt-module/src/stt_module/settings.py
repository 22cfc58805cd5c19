"""Settings of the STT module."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, ValidationInfo, field_validator

from handler_base.config import InferenceSettings, Seconds
from handler_base.live import LiveLimits
from stt_module.backchannel import InterruptRules
from stt_module.listening import ListeningRules
from stt_module.utterances import EndpointRules
from stt_module.vad import DetectorKind
from stt_module.windows import RATE, SAMPLE_BYTES

__all__ = ["SttSettings"]

_BYTES_A_SECOND = RATE * SAMPLE_BYTES


class SttSettings(InferenceSettings):
    """What the STT module reads, besides what every service does."""

    stt_timeout: Seconds = Field(30, description="Seconds the transcription of an utterance may take.")
    stt_language: str = Field("en", description="Language of sessions that name none; `auto`: the server finds out.")
    stt_sessions: int = Field(256, ge=1, description="Sessions a replica may have at once.")
    stt_session_idle: float = Field(
        60, ge=1, allow_inf_nan=False, description="Seconds after which a session that hears nothing is ended."
    )
    stt_partials: bool = Field(True, description="Publish partial transcripts while somebody speaks.")
    stt_partial_interval: float = Field(
        0.5, ge=0.1, allow_inf_nan=False, description="Seconds of new speech before the next partial transcript."
    )
    vad: DetectorKind = Field(DetectorKind.SILERO, description="Detector of voice: `silero`, `webrtc` or `energy`.")
    vad_threshold: float = Field(0.5, ge=0.05, le=0.95, description="How likely a window must be speech to count.")
    vad_silence_ms: int = Field(500, ge=100, le=5000, description="Milliseconds of silence that end an utterance.")
    utterance_max_seconds: float = Field(
        20, ge=1, le=120, description="Longest utterance in seconds; a longer one is cut."
    )
    utterance_max_bytes: int = Field(
        640_000, ge=32_000, description="The same in bytes of 16 kHz audio: 32,000 a second."
    )
    stt_session_bytes: int = Field(
        1 << 20, ge=1 << 17, description="Bytes of audio a session may hold; what comes beyond that is refused."
    )
    interrupt_min_ms: int = Field(
        700, ge=100, le=10_000, description="Speech longer than this interrupts an answer, unless it is a backchannel."
    )

    @field_validator("stt_session_bytes")
    @classmethod
    def _fits(cls, value: int, others: ValidationInfo) -> int:
        """Leave room for the next utterance while the longest one is transcribed."""
        longest = others.data.get("utterance_max_seconds", 0) * _BYTES_A_SECOND
        if min(others.data.get("utterance_max_bytes", 0), longest) > value * 3 / 4:
            raise ValueError("must be a third more than the longest utterance has in 16 kHz audio")
        return value

    @property
    def listening(self) -> ListeningRules:
        """How each session is listened to."""
        return ListeningRules(
            EndpointRules(
                speech=self.vad_threshold,
                quiet=min(self.vad_threshold, max(0.02, self.vad_threshold - 0.15)),
                silence=timedelta(milliseconds=self.vad_silence_ms),
                longest=timedelta(seconds=self.utterance_max_seconds),
                most_bytes=self.utterance_max_bytes,
            ),
            InterruptRules(
                timedelta(milliseconds=self.interrupt_min_ms),
                timedelta(milliseconds=max(2 * self.interrupt_min_ms, 1500)),
            ),
        )

    @property
    def limits(self) -> LiveLimits:
        """What the sessions of a replica may take."""
        return LiveLimits(
            sessions=self.stt_sessions,
            idle=timedelta(seconds=self.stt_session_idle),
            inbox_bytes=min(self.stt_session_bytes // 4, 1 << 18),
        )
