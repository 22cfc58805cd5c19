from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from deploy.tests.permissions.guarded import GuardedServer, LogIn
from handler_base.nats_client import ConnectionOptions, NatsConnection


@pytest.fixture
async def log_in() -> AsyncIterator[LogIn]:
    """Connect as a user of a server; the connections end with the test."""
    async with AsyncExitStack() as stack:

        async def connect(server: GuardedServer, user: str) -> NatsConnection:
            options = ConnectionOptions(
                servers=(server.url,),
                name=user,
                user=user,
                password=server.password(user),
                inbox_prefix=server.inbox(user),
            )
            connection = NatsConnection(options)
            stack.push_async_callback(connection.close)
            await connection.connect()
            return connection

        yield connect
