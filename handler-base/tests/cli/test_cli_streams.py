"""`fleet streams`."""

from __future__ import annotations

from handler_base.messages.streams import AI_EVENTS, STREAMS
from handler_base.nats_client import ConsumerSpec, JetStreamApi, NatsConnection, StreamManager, ensure_consumer
from handler_base.testing.nats_server import NatsServer

from .conftest import Fleet


async def test_missing_streams(fleet: Fleet) -> None:
    run = await fleet("streams")
    assert run.code == 0, run.err
    assert run.out.count("missing") == len(STREAMS)
    assert (await fleet("streams", "--check")).code == 1


async def test_streams_as_in_the_contract_with_their_consumers(fleet: Fleet, client: NatsConnection) -> None:
    assert await StreamManager(client).ensure(STREAMS) == ()
    spec = ConsumerSpec(stream="COMPANIONS_CHAT", durable="chat-handler")
    await ensure_consumer(JetStreamApi(client), spec)
    for _ in range(3):
        await client.jetstream_publish("ai.chat.user.ann.message", b"\x80")
    rows = {row["name"]: row for row in (await fleet("streams", "--json", "--check")).json}
    assert list(rows) == [stream.name for stream in STREAMS]
    chat = rows["COMPANIONS_CHAT"]
    assert chat["present"] is True
    assert (chat["messages"], chat["differences"]) == (3, [])
    assert chat["consumers"] == [{"name": "chat-handler", "pending": 3, "ack_pending": 0, "redelivered": 0}]
    table = await fleet("streams", "--check")
    assert table.code == 0
    assert "chat-handler" in table.out


async def test_a_stream_that_differs_is_named(fleet: Fleet, client: NatsConnection) -> None:
    config = {"name": AI_EVENTS.name, "subjects": list(AI_EVENTS.subjects), "storage": "memory"}
    await JetStreamApi(client).create_stream(config)
    run = await fleet("streams")
    assert run.code == 0
    assert "Stream AI_EVENTS: storage is memory, should be file." in run.out
    assert "differs" in run.out


async def test_more_consumers_than_the_server_tells_at_once(fleet: Fleet, client: NatsConnection) -> None:
    await StreamManager(client).ensure((AI_EVENTS,))
    api = JetStreamApi(client)
    for number in range(257):
        await ensure_consumer(api, ConsumerSpec(stream=AI_EVENTS.name, durable=f"c{number}"))
    rows = (await fleet("streams", "--json")).json
    (events,) = (row for row in rows if row["name"] == AI_EVENTS.name)
    assert len({consumer["name"] for consumer in events["consumers"]}) == 257


async def test_a_server_without_jetstream(offline: Fleet) -> None:
    server = NatsServer(jetstream=False)
    await server.start_async()
    try:
        run = await offline("--nats-url", server.url, "streams")
    finally:
        server.close()
    assert run.code == 4
    assert "start nats-server with JetStream" in run.err
