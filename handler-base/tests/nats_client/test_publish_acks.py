from __future__ import annotations

from datetime import timedelta

import pytest

from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InternalError,
    PayloadTooLargeError,
    UpstreamUnavailableError,
)
from handler_base.nats_client import JetStreamApi, Msg, NatsConnection
from handler_base.nats_client.publishing import read_publish_ack
from handler_base.testing.nats_connect import Connect, WorkStream
from handler_base.testing.nats_server import NatsServer


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", InternalError),
        (b"{}", InternalError),
        (b'{"pong": 1}', InternalError),
        (b'{"error":{"code":400,"err_code":10054,"description":"x"}}', PayloadTooLargeError),
        (b'{"error":{"code":503,"err_code":10077,"description":"x"}}', UpstreamUnavailableError),
        (b'{"error":{"code":400,"err_code":10071,"description":"x"}}', InternalError),
    ],
)
def test_refusals_have_a_type(payload: bytes, error: type[FleetError]) -> None:
    with pytest.raises(error):
        read_publish_ack(payload)


async def test_an_unanswered_publish_is_made_again_only_with_an_id(connection: NatsConnection) -> None:
    subject = connection.new_inbox()
    seen: list[Msg] = []

    def answer_the_second(msg: Msg) -> None:
        seen.append(msg)
        if len(seen) == 2:
            connection.send(msg.reply, b'{"stream":"S","seq":7}')

    await connection.subscribe(subject, answer_the_second)
    with pytest.raises(DeadlineExceededError):
        await connection.jetstream_publish(subject, b"", timeout=timedelta(milliseconds=50))
    seen.clear()
    ack = await connection.jetstream_publish(subject, b"", message_id="m", timeout=timedelta(milliseconds=300))
    assert ack.sequence == 7
    assert [msg.headers for msg in seen] == [{"Nats-Msg-Id": "m"}] * 2
    seen[:] = [seen[0]] * 5
    with pytest.raises(DeadlineExceededError):
        await connection.jetstream_publish(subject, b"", message_id="m", timeout=timedelta(milliseconds=90))


async def test_a_subject_without_a_stream_is_told(connection: NatsConnection) -> None:
    with pytest.raises(UpstreamUnavailableError):
        await connection.jetstream_publish("nobody.listens", b"")


async def test_an_answer_that_is_no_api_answer_is_an_error(connect: Connect) -> None:
    with NatsServer(jetstream=False) as server:
        connection = await connect(server.url)
        await connection.subscribe("$JS.API.>", lambda msg: connection.send(msg.reply, b"not json"))
        await connection.flush()
        with pytest.raises(InternalError):
            await JetStreamApi(connection).stream_info("ODD")


async def test_a_stored_message_is_read_with_its_headers(connection: NatsConnection, stream: WorkStream) -> None:
    ack = await connection.jetstream_publish(stream.subject, b"\x00\xff", headers={"A": "é"})
    message = await JetStreamApi(connection).get_message(stream.name, ack.sequence)
    assert getattr(message, "payload", None) == b"\x00\xff"
    assert getattr(message, "headers", None) == {"A": "é"}
