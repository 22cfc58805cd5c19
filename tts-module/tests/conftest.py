"""A TTS module on a real nats-server, with a fake speech server on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from handler_base.handler import Service
from handler_base.testing.inference import FakeTTS
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.tts_caller import TtsCaller, tts_caller
from tts_module import TtsModule, TtsSettings

StartTts = Callable[..., Awaitable[Service]]


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    server = NatsServer()
    await server.start_async()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def server() -> AsyncIterator[FakeTTS]:
    async with FakeTTS() as running:
        yield running


@pytest.fixture
async def start(nats: NatsServer, server: FakeTTS) -> AsyncIterator[StartTts]:
    """Start TTS modules at the servers of the test; all of them are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start_one(**values: object) -> Service:
            where = {
                "nats_url": nats.url,
                "tts_url": server.url,
                "health_host": "127.0.0.1",
                "health_port": 0,
                "drain_timeout": 2,
            }
            service = Service(TtsModule(TtsSettings.model_validate({**where, **values})))
            await service.start()
            stack.push_async_callback(service.stop)
            return service

        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[TtsCaller]:
    async with tts_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def tts(start: StartTts, caller: TtsCaller) -> TtsCaller:
    """A caller of a TTS module with the settings a test has when it names none."""
    await start()
    return caller
