"""Settings of the voice assistant."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from handler_base.config import AnsweringSettings, Seconds

__all__ = ["VoiceSettings"]


class VoiceSettings(AnsweringSettings):
    """What the voice assistant reads, besides what every service does."""

    voice_timeout: Seconds = Field(60, description="Seconds for a spoken answer when the caller names no budget.")
    audio_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        ("audio",), description="Object stores that `audio_ref` may name, separated by commas."
    )
    most_audio_bytes: int = Field(16_777_216, ge=1, description="Bytes of the largest recording that is read from one.")
    speech_in_flight: int = Field(3, ge=1, le=16, description="Pieces of an answer that are made into speech at once.")
    stream_gather: Seconds = Field(
        0.025, description="Longest time between pieces of a streamed answer that came together."
    )
    live: bool = Field(True, description="Answer live sessions; otherwise they are only transcribed.")
    live_except: str = Field(
        "listen-", description="Live sessions whose id begins like this are only transcribed; empty: none."
    )
    live_lead: Seconds = Field(1, description="Seconds the sound of a live answer may be ahead of its being played.")
    live_turn_age: Seconds = Field(30, description="Seconds after which what was said live is no longer answered.")
    system_prompt: str = Field("", description="Instructions put after the fleet's own rules, before the caller's.")

    @field_validator("audio_buckets", mode="before")
    @classmethod
    def _split_buckets(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
