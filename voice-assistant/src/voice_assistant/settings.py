"""Settings of the voice assistant."""

from __future__ import annotations

from pydantic import Field

from handler_base.config import AnsweringSettings, Seconds

__all__ = ["VoiceSettings"]


class VoiceSettings(AnsweringSettings):
    """What the voice assistant reads, besides what every service does."""

    voice_timeout: Seconds = Field(60, description="Seconds for a spoken answer when the caller names no budget.")
    speech_in_flight: int = Field(3, ge=1, le=16, description="Pieces of an answer that are made into speech at once.")
    stream_gather: Seconds = Field(
        0.025, description="Longest time between pieces of a streamed answer that came together."
    )
    system_prompt: str = Field("", description="Instructions put after the fleet's own rules, before the caller's.")
