"""Settings of the chat handler."""

from __future__ import annotations

from pydantic import Field

from handler_base.config import AnsweringSettings, ArchiveSettings, Seconds

__all__ = ["ChatSettings"]


class ChatSettings(AnsweringSettings, ArchiveSettings):
    """What the chat handler reads, besides what every service does."""

    chat_timeout: Seconds = Field(120, description="Seconds for an answer when the caller names no budget.")
    speech_timeout: Seconds = Field(60, description="Seconds of that which speech may take.")
    stream_gather: Seconds = Field(
        0.025, description="Longest time between pieces of a streamed answer that came together."
    )
    enable_tts: bool = Field(False, description="Speak every answer, whether or not the question asks for it.")
    system_prompt: str = Field("", description="Instructions put after the fleet's own rules, before the caller's.")
    most_top_k: int = Field(50, ge=1, description="Most passages a question may ask for.")
