"""What is built, and how large it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["APART", "LOCAL", "MOST_BYTES_OF_ONE", "MOST_BYTES_TOGETHER", "ROOT", "SERVICES", "image_name"]

ROOT: Final = Path(__file__).resolve().parents[2]
SERVICES: Final = ("chat-handler", "voice-assistant", "stt-module", "tts-module", "pipeline-bridge")
"""The fleet; within the budgets below."""
APART: Final = ("stt-module-full", "ingestion")
"""With packages that are larger than all the rest; outside the budgets."""
LOCAL: Final = ("local-inference", "local-nats", "local-valkey", "local-milvus", "local-chat-handler")
"""What docker-compose runs where there is no model server, and where there is no registry."""

MOST_BYTES_OF_ONE: Final = 30_000_000
"""Of the compressed layers of a service's image."""
MOST_BYTES_TOGETHER: Final = 40_000_000
"""Of all five in a registry, which holds a layer once."""


def image_name(target: str, prefix: str, version: str) -> str:
    """Return the full name of a target's image."""
    return f"{prefix}/{target}:{version}"
