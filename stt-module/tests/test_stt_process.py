"""The STT module as a process: its settings, its end, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.stt_caller import stt_caller
from stt_module import SttSettings

from .sounds import noise, vowels

HEAVY = ("aiohttp", "av", "grpc", "pandas", "pymilvus", "google.protobuf", "opentelemetry", "httpx", "redis", "torch")

CODE = """
import sys
sys.modules["aiohttp"] = sys.modules["opentelemetry"] = None
import stt_module.__main__
stt_module.SttModule(stt_module.SttSettings())
print(*(name for name in {heavy!r} if sys.modules.get(name) is not None))
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAD", "ears"),
        ("WHISPER_DIALECT", "morse"),
        ("STT_SESSION_BYTES", "200000"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(name: str, value: str) -> None:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "stt_module"],
        env={**kept, name: value},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(("name", "value"), [("stt_sessions", 0), ("vad_silence_ms", 1), ("stt_timeout", -1)])
def test_a_setting_out_of_range_is_named(name: str, value: int) -> None:
    with pytest.raises(ValidationError, match=name):
        SttSettings.model_validate({name: value})


def test_the_service_starts_without_heavy_packages() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], check=True, capture_output=True, text=True, timeout=20
    )
    assert ended.stdout.split() == []


async def test_it_listens_and_sigterm_ends_it_in_peace(nats: NatsServer, server: FakeSTT) -> None:
    async with (
        ServiceProcess("stt_module", {"NATS_URL": nats.url, "WHISPER_URL": server.url}) as service,
        stt_caller(nats.url) as caller,
    ):
        heard = await caller.say(noise(0.8, level=30) + vowels(1.2) + noise(0.8, level=30))
        assert [final.transcript for final in heard.finals] == ["What is NATS?"]
        assert await service.terminate() == 0
        assert "What is NATS" not in service.log
        assert "Traceback" not in service.log
