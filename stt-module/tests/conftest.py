"""An STT module on a real nats-server, with a fake transcription server on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.services import StartService, services
from handler_base.testing.stt_caller import SttCaller, stt_caller
from stt_module import SttModule, SttSettings


@pytest.fixture
async def server() -> AsyncIterator[FakeSTT]:
    async with FakeSTT() as running:
        yield running


@pytest.fixture
async def start(nats: NatsServer, server: FakeSTT) -> AsyncIterator[StartService]:
    """Start STT modules at the servers of the test; all of them are stopped at the end."""
    where = {"nats_url": nats.url, "whisper_url": server.url}
    async with services(SttModule, SttSettings, **where, drain_timeout=2) as start_one:
        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[SttCaller]:
    async with stt_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def stt(start: StartService, caller: SttCaller) -> SttCaller:
    """A caller of a STT module with the settings a test has when it names none."""
    await start()
    return caller
