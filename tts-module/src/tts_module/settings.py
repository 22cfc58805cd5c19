"""Settings of the TTS module."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field

from handler_base.config import InferenceSettings, Seconds

__all__ = ["TtsSettings"]

_SLOWEST: Final = 5.0
"""Characters a second of a slow speaker."""


class TtsSettings(InferenceSettings):
    """What the TTS module reads, besides what every service does."""

    tts_timeout: Seconds = Field(60, description="Seconds for a speech when the caller names no budget.")
    tts_chunk: float = Field(0.1, ge=0.02, le=0.1, description="Longest sound of a streamed chunk, in seconds.")
    tts_parallel: int = Field(3, ge=1, le=16, description="Sentences of one text that are made at the same time.")
    tts_max_chars: int = Field(20_000, ge=1, description="Most characters of a text.")
    tts_lead: Seconds = Field(
        0, description="Seconds a streamed speech may be ahead of its being played; 0: it goes out as it is made."
    )
    voices_dir: str = Field("", description="Directory of custom voices, one directory each; empty: none.")
    voices_refresh: Seconds = Field(60, description="Seconds between two looks for custom voices; 0: only when asked.")
    voices_cloned: int = Field(32, ge=1, description="Voices made of recordings that are kept ready.")

    @property
    def speech_budget(self) -> timedelta:
        """Time for a speech when the caller names none: to make it, and to play it where it waits for that."""
        playing = self.tts_max_chars / _SLOWEST if self.tts_lead else 0.0
        return timedelta(seconds=self.tts_timeout + playing)
