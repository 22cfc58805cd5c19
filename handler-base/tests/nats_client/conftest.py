"""Connections, streams and a scripted server for the tests of the NATS client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from handler_base.nats_client import ConnectionOptions, NatsConnection
from handler_base.testing.nats_connect import Connect, WorkStream, make_stream
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.scripted_nats import ScriptedNatsServer


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    opened: list[NatsConnection] = []

    async def open_connection(url: str, *, wait: bool = True, **options: object) -> NatsConnection:
        fields = {"servers": (url,), "name": "test", **options}
        connection = NatsConnection(ConnectionOptions(**fields))  # type: ignore[arg-type]  # names and types checked at run time
        opened.append(connection)
        if wait:
            await connection.connect(timeout=timedelta(seconds=10))
        return connection

    yield open_connection
    for connection in opened:
        await connection.close(timedelta(seconds=1))


@pytest.fixture
async def connection(connect: Connect, nats_url: str) -> NatsConnection:
    """A connection to the shared server."""
    return await connect(nats_url)


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """A server that the test may kill and freeze."""
    with NatsServer() as server:
        yield server


@pytest.fixture
async def stream(connection: NatsConnection) -> WorkStream:
    """A stream on the shared server."""
    return await make_stream(connection)


@pytest.fixture
async def scripted_server() -> AsyncIterator[ScriptedNatsServer]:
    server = ScriptedNatsServer()
    await server.start()
    yield server
    await server.stop()
