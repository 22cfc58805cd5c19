"""What a service in its image does not carry."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("aiohttp", "grpc", "numpy", "pandas", "pymilvus", "google.protobuf", "opentelemetry", "httpx", "requests")

CODE = """
import sys
# Not in the image; nats-py and redis load them where they are installed.
sys.modules["aiohttp"] = sys.modules["opentelemetry"] = None
import chat_handler.__main__
import redis.asyncio
print(*(name for name in {heavy!r} if sys.modules.get(name) is not None))
"""


def test_the_service_starts_without_heavy_packages() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], check=True, capture_output=True, text=True
    ).stdout.split()
    assert loaded == []
