"""Runs the STT module: ``python -m stt_module``."""

from handler_base.handler import run
from stt_module import SttModule, SttSettings

if __name__ == "__main__":
    run(SttModule, SttSettings)
