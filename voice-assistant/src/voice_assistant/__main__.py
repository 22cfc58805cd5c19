"""Runs the voice assistant: ``python -m voice_assistant``."""

from handler_base.handler import run
from voice_assistant import VoiceHandler, VoiceSettings

if __name__ == "__main__":
    run(VoiceHandler, VoiceSettings)
