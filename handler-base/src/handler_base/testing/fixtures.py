"""Pytest fixtures that services use; load them with ``pytest_plugins = ["handler_base.testing.fixtures"]``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handler_base.testing.nats_server import NatsServer

__all__ = ["nats", "nats_server", "nats_url"]


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A nats-server shared by the tests of the session; a test that breaks one starts its own `NatsServer`."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """Address of the shared nats-server."""
    return nats_server.url


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """A nats-server of this test alone, so that streams and consumers are new, and it may be killed."""
    with NatsServer() as server:
        yield server
