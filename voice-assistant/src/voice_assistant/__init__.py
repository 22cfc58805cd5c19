"""Voice: a spoken question over NATS gets a spoken, grounded answer."""

from voice_assistant.settings import VoiceSettings
from voice_assistant.voice_handler import VoiceHandler

__all__ = ["VoiceHandler", "VoiceSettings"]
