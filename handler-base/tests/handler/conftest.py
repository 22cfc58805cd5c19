from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import StartService, starter


@pytest.fixture
async def own_nats() -> AsyncIterator[NatsServer]:
    """A server of this test alone, so that streams and consumers are new."""
    server = NatsServer()
    await server.start_async()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def start(own_nats: NatsServer) -> AsyncIterator[StartService]:
    async with starter(own_nats.url) as start_one:
        yield start_one
