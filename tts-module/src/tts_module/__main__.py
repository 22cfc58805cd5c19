"""Runs the TTS module: ``python -m tts_module``."""

from handler_base.handler import run
from tts_module import TtsModule, TtsSettings

if __name__ == "__main__":
    run(TtsModule, TtsSettings)
