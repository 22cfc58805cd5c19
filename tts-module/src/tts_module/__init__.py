"""Text to speech over NATS: a text becomes sound in numbered chunks; voices are found and cloned."""

from tts_module.settings import TtsSettings
from tts_module.tts_module import TtsModule

__all__ = ["TtsModule", "TtsSettings"]
