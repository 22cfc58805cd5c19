from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from handler_base.health import Check, HealthReport, HealthServer
from handler_base.probe import probe
from handler_base.testing.nats_server import free_port


@pytest.fixture
async def server() -> AsyncIterator[HealthServer]:
    """A service that lives and is not ready."""
    live, away = HealthReport({"loop": Check(ok=True)}), HealthReport({"nats": Check(ok=False, detail="away")})
    result = HealthServer("127.0.0.1", 0, lambda: live, lambda: away)
    await result.start()
    yield result
    await result.stop()


async def _run(*arguments: str, port: str = "") -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "handler_base.probe", *arguments),
        env={"HEALTH_PORT": port},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, said.decode()


async def test_a_service_that_lives_is_passed_in_silence(server: HealthServer) -> None:
    assert await _run("health", port=str(server.port)) == (0, "")


async def test_a_service_that_is_not_ready_fails_and_says_why(server: HealthServer) -> None:
    code, said = await _run("ready", str(server.port), port="1")
    assert code == 1
    assert "away" in said


async def test_readiness_is_what_is_asked_when_nothing_is_said(server: HealthServer) -> None:
    code, _ = await _run(port=str(server.port))
    assert code == 1


async def test_a_port_that_is_none_is_told() -> None:
    assert await _run("ready", "http") == (2, "http is not a port\n")


def test_a_service_that_is_not_there_fails(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert probe("ready", port) == 1
    assert capsys.readouterr().out == f"nothing answers on port {port}: ConnectionRefusedError\n"
