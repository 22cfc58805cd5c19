from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from deploy.tests.fleet.ledger import Ledger, StartReplica
from handler_base.nats_client import ConnectionOptions, NatsConnection
from handler_base.testing.inference import FakeLLM
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM() as server:
        yield server


@pytest.fixture
async def ledger(nats: NatsServer) -> AsyncIterator[Ledger]:
    client = NatsConnection(ConnectionOptions(servers=(nats.url,), name="client"))
    await client.connect()
    book = Ledger(client)
    await book.listen()
    yield book
    await client.close()


@pytest.fixture
async def start_replica(nats: NatsServer, llm: FakeLLM) -> AsyncIterator[StartReplica]:
    """Start replicas of the chat handler, each a process; all are ended with the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: str) -> ServiceProcess:
            environment = {
                "NATS_URL": nats.url,
                "VLLM_URL": llm.url,
                "REDIS_URL": "none",
                "ARCHIVE_MODE": "off",
                "ACK_WAIT": "1",
                "NATS_PING_INTERVAL": "1",
                **settings,
            }
            replica = ServiceProcess("chat_handler", environment)
            stack.push_async_exit(replica)
            try:
                return await replica.start()
            except TimeoutError:
                pytest.fail(f"the replica did not become ready:\n{replica.log}")

        yield start
