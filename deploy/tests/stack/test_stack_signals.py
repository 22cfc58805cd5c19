"""Signals that come to the stack while it runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deploy.local.parts import INFERENCE_URLS
from deploy.tests.stack.conftest import health_ports
from handler_base.testing.nats_server import free_port

RunStack = Callable[[dict[str, str]], Awaitable[asyncio.subprocess.Process]]


@pytest.mark.nats
async def test_a_sigterm_that_comes_twice_still_stops_in_order(
    run_stack: RunStack, nats_url: str, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    stack = await run_stack(
        {
            "NATS_URL": nats_url,
            "LOCAL_DIR": str(tmp_path),
            "REDIS_PORT": str(free_port()),
            "HEALTH_PORT_BASE": health_ports(),
            "MILVUS_HOST": "127.0.0.1",
            "MILVUS_PORT": str(free_port()),
            **dict.fromkeys(INFERENCE_URLS, nowhere),
        }
    )
    assert stack.stdout is not None
    async for line in stack.stdout:
        if line.startswith(b"redis-server is ready"):
            break

    stack.send_signal(signal.SIGTERM)
    # One at a time: two signals that are pending at once are delivered as one.
    async for line in stack.stdout:
        if line.startswith(b"stopping"):
            break
    stack.send_signal(signal.SIGTERM)
    rest = (await stack.communicate())[0].decode()

    assert stack.returncode == 0, rest
    assert "redis-server is stopped" in rest
    assert "killed" not in rest
