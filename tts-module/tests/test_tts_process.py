"""The TTS module as a process: its settings, its end, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from handler_base.testing.inference import FakeTTS
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.tts_caller import tts_caller

HEAVY = ("aiohttp", "av", "grpc", "numpy", "pandas", "pymilvus", "google.protobuf", "opentelemetry", "httpx", "redis")

CODE = """
import sys
sys.modules["aiohttp"] = sys.modules["opentelemetry"] = None
import tts_module.__main__
print(*(name for name in {heavy!r} if sys.modules.get(name) is not None))
"""


@pytest.mark.parametrize(
    ("name", "value"), [("TTS_CHUNK", "0.5"), ("TTS_PARALLEL", "0"), ("TTS_TIMEOUT", "-1"), ("VOICES_CLONED", "few")]
)
def test_a_bad_setting_is_named_in_one_line(name: str, value: str) -> None:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "tts_module"],
        env={**kept, name: value},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: ")


def test_the_service_starts_without_heavy_packages() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], check=True, capture_output=True, text=True, timeout=20
    )
    assert ended.stdout.split() == []


async def test_it_speaks_and_sigterm_ends_it_in_peace(nats: NatsServer, server: FakeTTS) -> None:
    async with (
        ServiceProcess("tts_module", {"NATS_URL": nats.url, "TTS_URL": server.url}) as service,
        tts_caller(nats.url) as caller,
    ):
        heard = await caller.say("Hello there.")
        assert heard.said == ["queued", "processing", "completed"]
        assert heard.audio == server.pcm
        assert await service.terminate() == 0
        assert "Hello there" not in service.log
        assert "Traceback" not in service.log
