from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import nats
import nkeys  # type: ignore[import-untyped]  # the package has no types
import pytest
from pydantic import SecretStr

from handler_base.config import Settings
from handler_base.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    UpstreamUnavailableError,
)
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection, options_from_settings
from handler_base.nats_client.headers import encode_headers
from handler_base.telemetry import metrics
from handler_base.testing.nats_connect import Connect
from handler_base.testing.nats_server import NatsServer, free_port
from handler_base.testing.scripted_nats import ScriptedNatsServer
from handler_base.testing.waiting import wait_until

SECOND = timedelta(seconds=1)


async def test_a_message_arrives_with_everything(connection: NatsConnection) -> None:
    got: asyncio.Queue[Msg] = asyncio.Queue()
    subject = connection.new_inbox()
    await connection.subscribe(subject, got.put_nowait)
    await connection.publish(subject, b"body", headers={"A": "1", "Deadline-Ms": 5}, reply="answers")
    await connection.publish(subject)

    first = await asyncio.wait_for(got.get(), 5)
    second = await asyncio.wait_for(got.get(), 5)

    assert (first.subject, first.data, first.reply) == (subject, b"body", "answers")
    assert first.headers == {"A": "1", "Deadline-Ms": "5"}
    assert (second.data, second.reply, second.headers) == (b"", "", None)


async def test_an_independent_client_is_understood_both_ways(connection: NatsConnection, nats_url: str) -> None:
    peer = await nats.connect(nats_url)
    subject = connection.new_inbox()

    def answer(msg: Msg) -> None:
        connection.send(msg.reply, msg.data.upper(), headers=msg.headers)

    await connection.subscribe(subject, answer)
    await connection.flush()
    reply = await peer.request(subject, b"hello", headers={"X": "y"}, timeout=5)
    await peer.close()

    assert (reply.data, reply.headers) == (b"HELLO", {"X": "y"})


async def test_requests_made_at_once_get_their_own_answers(connection: NatsConnection) -> None:
    subject = connection.new_inbox()
    await connection.subscribe(subject, lambda msg: connection.send(msg.reply, msg.data))
    answers = await asyncio.gather(
        *(connection.request(subject, str(n).encode(), timeout=5 * SECOND) for n in range(200))
    )
    assert [msg.data for msg in answers] == [str(n).encode() for n in range(200)]


async def test_a_request_that_nobody_hears_fails_at_once(connection: NatsConnection) -> None:
    with pytest.raises(UpstreamUnavailableError):
        await connection.request(connection.new_inbox(), timeout=30 * SECOND)


async def test_a_request_without_an_answer_ends_at_its_deadline(connection: NatsConnection) -> None:
    subject = connection.new_inbox()
    await connection.subscribe(subject, lambda msg: None)
    with pytest.raises(DeadlineExceededError):
        await connection.request(subject, timeout=timedelta(milliseconds=30))


async def test_publishing_does_not_yield(connection: NatsConnection) -> None:
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    task = asyncio.create_task(other())
    await connection.publish("anything", b"1", headers={"A": "b"})
    await connection.publish("anything", b"2")
    assert not ran
    await task


async def test_payload_and_headers_over_the_limit_never_reach_the_socket(connection: NatsConnection) -> None:
    headers = {"Note": "n" * 100}
    room = connection.max_payload - len(encode_headers(headers))
    got: asyncio.Queue[Msg] = asyncio.Queue()
    subject = connection.new_inbox()
    await connection.subscribe(subject, got.put_nowait)

    with pytest.raises(PayloadTooLargeError):
        await connection.publish(subject, b"x" * (room + 1), headers=headers)
    with pytest.raises(PayloadTooLargeError):
        await connection.publish(subject, b"x" * (connection.max_payload + 1))
    await connection.publish(subject, b"x" * room, headers=headers)

    assert len((await asyncio.wait_for(got.get(), 5)).data) == room
    assert connection.is_connected
    assert connection.reconnects == 0


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0", "a\x00"])
async def test_a_malformed_subject_is_refused(connection: NatsConnection, subject: str) -> None:
    with pytest.raises(InvalidRequestError):
        await connection.publish(subject, b"")
    with pytest.raises(InvalidRequestError):
        await connection.subscribe(subject, print)
    if subject:
        with pytest.raises(InvalidRequestError):
            await connection.publish("a", reply=subject)


async def test_a_queue_group_shares_the_messages(connect: Connect, nats_url: str) -> None:
    one, other = await connect(nats_url), await connect(nats_url)
    subject = one.new_inbox()
    seen: list[bytes] = []
    for member in (one, other):
        await member.subscribe(subject, lambda msg: seen.append(msg.data), queue="g")
        await member.flush()
    for n in range(20):
        await one.publish(subject, str(n).encode())
    await wait_until(lambda: len(seen) >= 20)
    await one.flush()
    await other.flush()
    assert sorted(seen, key=int) == [str(n).encode() for n in range(20)]


async def test_draining_hands_over_what_is_under_way_and_then_nothing(connect: Connect, nats_url: str) -> None:
    sender, receiver = await connect(nats_url), await connect(nats_url)
    seen: list[bytes] = []
    subject = sender.new_inbox()
    subscription = await receiver.subscribe(subject, lambda msg: seen.append(msg.data))
    await receiver.flush()
    for _ in range(50):
        await sender.publish(subject, b"x")
    await sender.flush()

    await subscription.drain()
    assert len(seen) == 50
    await sender.publish(subject, b"late")
    await sender.flush()
    await receiver.flush()
    await subscription.drain()
    assert len(seen) == 50


async def test_unsubscribing_drops_what_is_under_way(connection: NatsConnection) -> None:
    seen: list[bytes] = []
    subject = connection.new_inbox()
    subscription = await connection.subscribe(subject, lambda msg: seen.append(msg.data))
    await connection.publish(subject, b"x")
    await subscription.unsubscribe()
    await subscription.unsubscribe()
    await connection.flush()
    assert seen == []


async def test_a_callback_that_fails_is_counted_and_harms_nobody(connection: NatsConnection) -> None:
    subject = connection.new_inbox()
    seen: list[bytes] = []
    counter = metrics.SWALLOWED_ERRORS.of("nats_callback")
    before = counter._value.get()

    def fail(msg: Msg) -> None:
        raise RuntimeError(msg.subject)

    await connection.subscribe(subject, fail)
    await connection.subscribe(subject, lambda msg: seen.append(msg.data))
    await connection.publish(subject, b"x")
    await connection.flush()
    assert seen == [b"x"]
    assert counter._value.get() == before + 1


async def test_a_closed_connection_says_so(connect: Connect, nats_url: str) -> None:
    connection = await connect(nats_url)
    await connection.close()
    await connection.close()
    assert connection.is_closed
    assert not connection.is_connected
    with pytest.raises(UpstreamUnavailableError):
        await connection.publish("a")
    with pytest.raises(UpstreamUnavailableError):
        await connection.request("a", timeout=SECOND)
    with pytest.raises(UpstreamUnavailableError):
        await connection.subscribe("a", print)
    with pytest.raises(UpstreamUnavailableError):
        await connection.flush()


async def test_closing_sends_what_is_in_line(connect: Connect, nats_url: str) -> None:
    sender, receiver = await connect(nats_url), await connect(nats_url)
    seen: list[bytes] = []
    subject = sender.new_inbox()
    await receiver.subscribe(subject, lambda msg: seen.append(msg.data))
    await receiver.flush()
    for _ in range(100):
        await sender.publish(subject, b"x" * 1000)
    await sender.close()
    await wait_until(lambda: len(seen) == 100)


async def test_nothing_answers_within_the_time_given() -> None:
    connection = NatsConnection(ConnectionOptions(servers=(f"nats://127.0.0.1:{free_port()}",)))
    with pytest.raises(UpstreamUnavailableError):
        await connection.connect(timeout=timedelta(milliseconds=200))
    assert connection.is_closed


async def test_a_connection_closes_in_every_moment_of_the_handshake(scripted_server: ScriptedNatsServer) -> None:
    options = ConnectionOptions(servers=(scripted_server.url,))
    for turns in range(60):
        connection = NatsConnection(options)
        connecting = asyncio.create_task(connection.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await connection.close()
        connecting.cancel()
        await asyncio.wait({connecting})


async def test_a_connection_closes_in_every_moment_of_a_refusal() -> None:
    options = ConnectionOptions(servers=(f"nats://127.0.0.1:{free_port()}",))
    for turns in range(200):
        connection = NatsConnection(options)
        connecting = asyncio.create_task(connection.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await connection.close()
        connecting.cancel()
        await asyncio.wait({connecting})


async def test_what_the_server_is_can_be_read(connection: NatsConnection, nats_server: NatsServer) -> None:
    assert tuple(map(int, connection.server_version.split(".")[:2])) >= (2, 11)
    assert connection.connected_url == nats_server.url
    assert connection.max_payload == 1024 * 1024
    assert not connection.is_clustered
    assert connection.options.name == "test"


async def test_wrong_credentials_are_told_at_once(connect: Connect) -> None:
    with NatsServer('authorization { user: "u", password: "p" }') as server:
        with pytest.raises(PermissionDeniedError) as raised:
            await connect(server.url, user="u", password="wrong")
        assert "127.0.0.1" not in raised.value.message
        assert (await connect(server.url, user="u", password="p")).is_connected
        with_url = await connect(server.url.replace("//", "//u:p@"))
        assert with_url.connected_url == server.url


async def test_a_token_logs_in(connect: Connect) -> None:
    with NatsServer('authorization { token: "s3cret" }') as server:
        assert (await connect(server.url, token="s3cret")).is_connected


async def test_an_nkey_logs_in(connect: Connect, tmp_path: Path) -> None:
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    path = tmp_path / "user.nk"
    path.write_bytes(seed)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    with NatsServer(f"authorization {{ users: [{{ nkey: {public} }}] }}") as server:
        assert (await connect(server.url, nkey_seed_path=str(path))).is_connected


async def test_an_address_that_is_none_is_told_at_once(connect: Connect) -> None:
    with pytest.raises(InvalidRequestError):
        await connect("nats://127.0.0.1:notaport")


async def test_a_server_too_old_is_told_at_once(connect: Connect, scripted_server: ScriptedNatsServer) -> None:
    scripted_server.info = {"version": "2.9.10"}
    with pytest.raises(InternalError, match=r"2\.9\.10"):
        await connect(scripted_server.url)


async def test_what_is_forbidden_is_counted_and_the_request_fails_at_once(connect: Connect) -> None:
    config = 'authorization { users: [{ user: "u", password: "p", permissions: { publish: { deny: "Secret.>" } } }] }'
    with NatsServer(config) as server:
        connection = await connect(server.url, user="u", password="p")
        with pytest.raises(PermissionDeniedError):
            await connection.request("Secret.plan", timeout=30 * SECOND)
        assert connection.permission_violations == 1
        assert "secret.plan" in connection.last_permission_violation
        assert connection.is_connected
        assert connection.reconnects == 0


async def test_a_new_limit_of_the_server_is_known(connect: Connect, scripted_server: ScriptedNatsServer) -> None:
    connection = await connect(scripted_server.url)
    assert connection.max_payload == 1024
    scripted_server.say('INFO {"max_payload": 64}')
    await wait_until(lambda: connection.max_payload == 64)
    with pytest.raises(PayloadTooLargeError):
        await connection.publish("a", b"x" * 65)


def test_options_come_from_the_settings(tmp_path: Path) -> None:
    settings = Settings(
        nats_url="nats://one:4222, nats://two:4222",
        nats_user="u",
        nats_password=SecretStr("p"),
        nats_creds=str(tmp_path / "x.creds"),
        nats_ping_interval=3,
        nats_inbox_prefix="_INBOX_chat",
    )
    options = options_from_settings(settings, "chat-handler", pending_size=5)
    assert options.servers == ("nats://one:4222", "nats://two:4222")
    assert (options.name, options.user, options.password, options.token) == ("chat-handler", "u", "p", "")
    assert options.ping_interval == 3 * SECOND
    assert options.pending_size == 5
    assert options.credentials()["user_credentials"] == str(tmp_path / "x.creds")
    assert options.credentials()["inbox_prefix"] == "_INBOX_chat"
    assert not options.uses_tls
