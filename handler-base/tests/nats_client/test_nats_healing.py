"""What a connection survives."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from handler_base.errors import UpstreamUnavailableError
from handler_base.nats_client import Msg, NatsConnection
from handler_base.testing.nats_connect import Connect
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.scripted_nats import ScriptedNatsServer
from handler_base.testing.waiting import wait_until

SECOND = timedelta(seconds=1)


async def listening(connection: NatsConnection, subject: str) -> asyncio.Queue[bytes]:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    def keep(msg: Msg) -> None:
        got.put_nowait(msg.data)

    await connection.subscribe(subject, keep)
    await connection.flush()
    return got


async def test_killed_and_started_again_the_server_is_served_within_a_second(
    connect: Connect, own_server: NatsServer
) -> None:
    connection = await connect(own_server.url)
    again = asyncio.Event()
    connection.on_reconnect(again.set)
    got = await listening(connection, "a")
    for round_number in range(3):
        again.clear()
        own_server.kill()
        await wait_until(lambda: not connection.is_connected)
        await own_server.start_async()
        await asyncio.wait_for(again.wait(), 1.0)
        await connection.publish("a", str(round_number).encode())
        assert await asyncio.wait_for(got.get(), 1.0) == str(round_number).encode()
    assert connection.reconnects == 3


async def test_what_is_published_without_a_link_is_sent_on_the_next(connect: Connect, own_server: NatsServer) -> None:
    connection = await connect(own_server.url, pending_size=10_000)
    got = await listening(connection, "a")
    own_server.kill()
    await wait_until(lambda: not connection.is_connected)

    await connection.publish("a", b"kept")
    with pytest.raises(UpstreamUnavailableError):
        await connection.publish("a", b"x" * 10_000)
    with pytest.raises(UpstreamUnavailableError):
        await connection.request("a", timeout=SECOND)
    with pytest.raises(UpstreamUnavailableError):
        await connection.flush()
    await own_server.start_async()

    assert await asyncio.wait_for(got.get(), 2.0) == b"kept"


async def test_a_subscription_made_or_ended_without_a_link_counts_on_the_next(
    connect: Connect, own_server: NatsServer
) -> None:
    connection = await connect(own_server.url)
    ended: list[bytes] = []
    old = await connection.subscribe("old", lambda msg: ended.append(msg.data))
    own_server.kill()
    await wait_until(lambda: not connection.is_connected)
    await old.drain()
    got: asyncio.Queue[bytes] = asyncio.Queue()
    await connection.subscribe("new", lambda msg: got.put_nowait(msg.data))
    await own_server.start_async()
    await wait_until(lambda: connection.is_connected)
    await connection.publish("old", b"1")
    await connection.publish("new", b"2")
    assert await asyncio.wait_for(got.get(), 2.0) == b"2"
    assert ended == []


@pytest.mark.parametrize(
    "error",
    [
        "user authentication expired",
        "account authentication expired",
        "authorization violation",
        "maximum connections exceeded",
        "server shutdown",
        "maximum payload violation",
        "stale connection",
        "invalid subject",
        "unknown protocol operation",
    ],
)
async def test_no_error_of_the_server_ends_the_service(
    connect: Connect, scripted_server: ScriptedNatsServer, error: str
) -> None:
    connection = await connect(scripted_server.url)
    await connection.subscribe("work.>", lambda msg: None, queue="g")
    await connection.flush()
    scripted_server.received.clear()

    scripted_server.say(f"-ERR '{error}'")
    await wait_until(lambda: connection.reconnects == 1, timeout=5)
    await connection.flush()

    assert connection.is_connected
    assert any(line.startswith(b"SUB work.> g ") for line in scripted_server.received)


async def test_a_server_that_refuses_is_asked_ever_more_seldom(
    connect: Connect, scripted_server: ScriptedNatsServer
) -> None:
    connection = await connect(scripted_server.url)
    scripted_server.refusal = "authorization violation"
    scripted_server.say("-ERR 'user authentication expired'")
    await wait_until(lambda: scripted_server.accepted >= 3)
    accepted = scripted_server.accepted
    await asyncio.sleep(1.0)  # the time is what is tested: how often it asks
    assert scripted_server.accepted - accepted <= 6
    scripted_server.refusal = ""
    await wait_until(lambda: connection.is_connected, timeout=8)


async def test_a_link_that_only_looks_alive_is_dropped(connect: Connect, scripted_server: ScriptedNatsServer) -> None:
    connection = await connect(
        scripted_server.url, ping_interval=timedelta(milliseconds=100), connect_timeout=timedelta(milliseconds=200)
    )
    await wait_until(lambda: connection.round_trip is not None)
    scripted_server.answer_pings = False
    took = await wait_until(lambda: not connection.is_connected, timeout=2)
    assert took < 0.6
    scripted_server.answer_pings = True
    await wait_until(lambda: connection.is_connected, timeout=5)


async def test_a_frozen_server_is_noticed_and_found_again(connect: Connect, own_server: NatsServer) -> None:
    connection = await connect(
        own_server.url, ping_interval=timedelta(milliseconds=200), connect_timeout=timedelta(milliseconds=300)
    )
    got = await listening(connection, "a")
    # More than the socket takes: a graceful close would wait for the peer to read it.
    own_server.freeze()
    for _ in range(8):
        connection.send("b", b"x" * 1_000_000)
    assert await wait_until(lambda: not connection.is_connected, timeout=3) < 1.5
    own_server.thaw()
    await wait_until(lambda: connection.is_connected, timeout=5)
    await connection.publish("a", b"again")
    assert await asyncio.wait_for(got.get(), 2.0) == b"again"


async def test_publishing_waits_for_a_socket_that_is_full(connect: Connect, own_server: NatsServer) -> None:
    connection = await connect(
        own_server.url, pending_size=1_000_000, ping_interval=timedelta(milliseconds=200), connect_timeout=SECOND
    )
    own_server.freeze()

    async def flood() -> None:
        for _ in range(30):
            await connection.publish("b", b"x" * 900_000)

    flooding = asyncio.create_task(flood())
    done, _ = await asyncio.wait({flooding}, timeout=0.1)
    assert not done
    own_server.thaw()
    await asyncio.wait_for(asyncio.gather(flooding, return_exceptions=True), 5)


async def test_a_reply_may_come_over_the_next_link(connect: Connect, own_server: NatsServer) -> None:
    connection, other = await connect(own_server.url), await connect(own_server.url)
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    await other.subscribe("q", asked.put_nowait)
    await other.flush()
    asking = asyncio.create_task(connection.request("q", b"?", timeout=10 * SECOND))
    question = await asyncio.wait_for(asked.get(), 2)
    own_server.kill()
    await own_server.start_async()
    await wait_until(lambda: connection.reconnects == other.reconnects == 1)
    await connection.flush()  # the server knows again who waits for the reply
    await other.publish(question.reply, b"!")
    assert (await asking).data == b"!"


async def test_a_server_that_shuts_down_is_left_for_another(connect: Connect) -> None:
    config = "lame_duck_duration: 30s\nlame_duck_grace_period: 10s"
    with NatsServer(config) as first, NatsServer(config) as second:
        connection = await connect(first.url, servers=(first.url, second.url))
        used, spare = (first, second) if connection.connected_url == first.url else (second, first)
        used.lame_duck()
        await wait_until(lambda: connection.connected_url == spare.url, timeout=5)


async def test_a_lone_server_that_shuts_down_is_used_to_the_end(
    connect: Connect, scripted_server: ScriptedNatsServer
) -> None:
    connection = await connect(scripted_server.url)
    scripted_server.say('INFO {"ldm": true}')
    await connection.flush()
    assert connection.reconnects == 0


async def test_another_server_takes_over(connect: Connect) -> None:
    with NatsServer() as first, NatsServer() as second:
        connection = await connect(first.url, servers=(first.url, second.url))
        got = await listening(connection, "a")
        used, spare = (first, second) if connection.connected_url == first.url else (second, first)
        used.kill()
        await wait_until(lambda: connection.connected_url == spare.url)
        await connection.publish("a", b"1")
        assert await asyncio.wait_for(got.get(), 2) == b"1"


async def test_the_first_link_is_waited_for(connect: Connect) -> None:
    server = NatsServer()
    connection = await connect(server.url, wait=False)
    connecting = asyncio.create_task(connection.connect())
    done, _ = await asyncio.wait({connecting}, timeout=0.2)
    assert not done
    await server.start_async()
    await asyncio.wait_for(connecting, 3)
    await connection.close()
    server.close()


async def test_a_server_that_says_nothing_is_given_up(connect: Connect) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    connection = await connect(f"nats://127.0.0.1:{port}", wait=False, connect_timeout=timedelta(milliseconds=50))
    with pytest.raises(UpstreamUnavailableError):
        await connection.connect(timeout=timedelta(milliseconds=400))
    mute.close()
