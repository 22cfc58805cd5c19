from __future__ import annotations

import nats
import pytest

from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until


async def test_a_restart_keeps_the_port_and_the_streams() -> None:
    with NatsServer() as server:
        url = server.url
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="S", subjects=["s"])
        await client.close()
        server.stop()
        assert not server.running
        await server.start_async()
        assert server.url == url
        client = await nats.connect(url)
        assert (await client.jetstream().stream_info("S")).config.subjects == ["s"]
        await client.close()
        assert "Server is ready" in server.log
    assert not server.running


def test_a_server_that_cannot_start_says_why() -> None:
    server = NatsServer("no_such_setting: true")
    with pytest.raises(RuntimeError, match="ended while it started"):
        server.start()
    server.close()


async def test_a_frozen_server_can_be_stopped() -> None:
    with NatsServer() as server:
        server.freeze()
        server.stop()
        assert not server.running


async def test_a_new_configuration_is_read() -> None:
    with NatsServer("max_payload: 1000") as server:
        client = await nats.connect(server.url)
        assert client.max_payload == 1000
        await client.close()
        server.reload("max_payload: 2000")
        await wait_until(lambda: "Reloaded" in server.log)
        client = await nats.connect(server.url)
        assert client.max_payload == 2000
        await client.close()


async def test_a_condition_that_never_holds_ends_the_wait() -> None:
    with pytest.raises(TimeoutError):
        await wait_until(lambda: False, timeout=0.02)
