"""An STT module on a real nats-server, with a fake transcription server on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from handler_base.handler import Service
from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.stt_caller import SttCaller, stt_caller
from stt_module import SttModule, SttSettings

StartStt = Callable[..., Awaitable[Service]]


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    server = NatsServer()
    await server.start_async()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def server() -> AsyncIterator[FakeSTT]:
    async with FakeSTT() as running:
        yield running


@pytest.fixture
async def start(nats: NatsServer, server: FakeSTT) -> AsyncIterator[StartStt]:
    """Start STT modules at the servers of the test; all of them are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start_one(**values: object) -> Service:
            where = {
                "nats_url": nats.url,
                "whisper_url": server.url,
                "health_host": "127.0.0.1",
                "health_port": 0,
                "drain_timeout": 2,
            }
            service = Service(SttModule(SttSettings.model_validate({**where, **values})))
            await service.start()
            stack.push_async_callback(service.stop)
            return service

        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[SttCaller]:
    async with stt_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def stt(start: StartStt, caller: SttCaller) -> SttCaller:
    """A caller of a STT module with the settings a test has when it names none."""
    await start()
    return caller
