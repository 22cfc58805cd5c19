"""A TTS module on a real nats-server, with a fake speech server on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from handler_base.testing.inference import FakeTTS
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.services import StartService, services
from handler_base.testing.tts_caller import TtsCaller, tts_caller
from tts_module import TtsModule, TtsSettings


@pytest.fixture
async def server() -> AsyncIterator[FakeTTS]:
    async with FakeTTS() as running:
        yield running


@pytest.fixture
async def start(nats: NatsServer, server: FakeTTS) -> AsyncIterator[StartService]:
    """Start TTS modules at the servers of the test; all of them are stopped at the end."""
    where = {"nats_url": nats.url, "tts_url": server.url}
    async with services(TtsModule, TtsSettings, **where, drain_timeout=2) as start_one:
        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[TtsCaller]:
    async with tts_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def tts(start: StartService, caller: TtsCaller) -> TtsCaller:
    """A caller of a TTS module with the settings a test has when it names none."""
    await start()
    return caller
