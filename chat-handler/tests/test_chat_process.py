"""The chat handler as a process: its settings, its end, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from handler_base.testing.nats_server import NatsServer, free_port
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until


def run_with(**settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        [sys.executable, "-m", "chat_handler"],
        env={**kept, **settings},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MOST_TOP_K", "many"),
        ("CHAT_TIMEOUT", "-1"),
        ("MILVUS_API", "soap"),
        ("LOG_LEVEL", "chatty"),
        ("MAX_CONCURRENCY", "0"),
        ("MILVUS_PORT", "70000"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(name: str, value: str) -> None:
    ended = run_with(**{name: value})
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert ended.stdout == ""


def test_each_bad_setting_has_its_line_and_no_value_is_repeated() -> None:
    ended = run_with(MOST_TOP_K="secret-one", CHAT_TIMEOUT="secret-two")
    assert ended.returncode == 78
    assert sorted(line.split(":")[0] for line in ended.stderr.splitlines()) == ["CHAT_TIMEOUT", "MOST_TOP_K"]
    assert "secret" not in ended.stderr


def test_neither_grpc_nor_pandas_is_loaded() -> None:
    listing = (
        "import sys, chat_handler; print([m for m in ('grpc', 'pandas', 'numpy', 'pymilvus') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout.strip() == "[]"


async def test_sigterm_ends_it_in_peace(nats: NatsServer) -> None:
    async with ServiceProcess(
        "chat_handler", {"NATS_URL": nats.url, "REDIS_URL": "none", "ARCHIVE_MODE": "off"}
    ) as service:
        assert await service.is_alive()
        assert await service.terminate() == 0
        assert "Traceback" not in service.log


async def test_it_waits_for_nats_and_ends_in_peace_meanwhile() -> None:
    environment = {"NATS_URL": f"nats://127.0.0.1:{free_port()}", "REDIS_URL": "none", "ARCHIVE_MODE": "off"}
    service = ServiceProcess("chat_handler", environment)
    await service.start(wait=False)
    try:
        await wait_until(service.is_alive, timeout=20, every=0.02)
        assert not await service.is_ready()
        assert await service.terminate() == 0
        assert "Traceback" not in service.log
    finally:
        await service.kill()
