"""Live audio to transcriptions and interrupts over NATS, each session at one of several replicas."""

from stt_module.settings import SttSettings
from stt_module.stt_module import SttModule

__all__ = ["SttModule", "SttSettings"]
