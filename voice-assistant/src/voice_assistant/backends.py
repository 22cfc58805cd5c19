"""Everything the voice assistant calls."""

from __future__ import annotations

from collections.abc import Mapping

from handler_base.answering import Backends
from handler_base.clients import stt_client
from voice_assistant.settings import VoiceSettings

__all__ = ["VoiceBackends"]


class VoiceBackends(Backends):
    """The clients of one process, with the one that transcribes.

    Args:
        settings: Where the servers are.

    Attributes:
        stt: Transcription.
    """

    def __init__(self, settings: VoiceSettings) -> None:
        super().__init__(settings)
        self.stt = stt_client(settings, self.pool)

    def working(self) -> Mapping[str, bool]:
        """Return which of them worked when last called."""
        return {**super().working(), "stt": self.stt.available, "tts": self.tts.available}
