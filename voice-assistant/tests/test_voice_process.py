"""The voice assistant as a process: its settings, its end, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess

HEAVY = (
    *("aiohttp", "alembic", "av", "grpc", "numpy", "onnxruntime", "opentelemetry", "pandas"),
    *("pymilvus", "google.protobuf", "httpx", "requests", "sqlalchemy"),
)

CODE = """
import sys
# Not in the image; nats-py loads them where they are installed.
sys.modules["aiohttp"] = sys.modules["opentelemetry"] = None
import voice_assistant.__main__
print(*(name for name in {heavy!r} if sys.modules.get(name) is not None))
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [("VOICE_TIMEOUT", "-1"), ("SPEECH_IN_FLIGHT", "0"), ("STREAM_GATHER", "soon"), ("MILVUS_API", "soap")],
)
def test_a_bad_setting_is_named_in_one_line(name: str, value: str) -> None:
    kept = {key: kept for key, kept in os.environ.items() if key in {"PATH", "HOME"}}
    ended = subprocess.run(
        [sys.executable, "-m", "voice_assistant"],
        env={**kept, name: value},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert ended.stdout == ""


def test_the_service_starts_without_heavy_packages() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], check=True, capture_output=True, text=True
    ).stdout.split()
    assert loaded == []


async def test_sigterm_ends_it_in_peace(nats: NatsServer) -> None:
    async with ServiceProcess("voice_assistant", {"NATS_URL": nats.url, "REDIS_URL": "none"}) as service:
        assert await service.is_alive()
        assert await service.terminate() == 0
        assert "Traceback" not in service.log
