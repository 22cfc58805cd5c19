from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from handler_base.testing.chat_caller import ChatCaller, chat_caller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    """A server with the fleet's own limit."""
    server = NatsServer("max_payload: 8MB")
    await server.start_async()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM() as server:
        yield server


@pytest.fixture
async def service(nats: NatsServer, llm: FakeLLM) -> AsyncIterator[ServiceProcess]:
    environment = {
        "NATS_URL": nats.url,
        "VLLM_URL": llm.url,
        "LLM_MODEL": "fake-model",
        "REDIS_URL": "none",
        "ARCHIVE_MODE": "off",
        # Logging every refused body is not what is measured.
        "LOG_LEVEL": "ERROR",
    }
    async with ServiceProcess("chat_handler", environment) as process:
        yield process


@pytest.fixture
async def caller(nats: NatsServer, service: ServiceProcess) -> AsyncIterator[ChatCaller]:
    """A caller that asks once the service is ready."""
    assert await service.is_ready()
    async with chat_caller(nats.url) as connected:
        yield connected
