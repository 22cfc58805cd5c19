"""Events reach the stream in order and once, whatever happens to the link and the server meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import nats
import pytest

from handler_base.messages import DomainEvent, decode
from handler_base.messages.streams import AI_EVENTS
from handler_base.messages.subjects import CHAT_EVENT, VOICE_EVENT
from handler_base.nats_client import EventLog, NatsConnection, StreamManager
from handler_base.testing.nats_connect import Connect
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until


async def stored(server: NatsServer, count: int) -> list[DomainEvent]:
    """Read what the stream holds, with an independent client."""
    client = await nats.connect(server.url)
    try:
        js = client.jetstream()
        held = (await js.stream_info(AI_EVENTS.name)).state.messages
        assert held == count
        subscription = await js.subscribe("ai.*.event.>", stream=AI_EVENTS.name, ordered_consumer=True)
        return [decode(DomainEvent, (await subscription.next_msg(timeout=5)).data) for _ in range(count)]
    finally:
        await client.close()


@pytest.fixture
async def events_connection(own_server: NatsServer, connect: Connect) -> NatsConnection:
    connection = await connect(own_server.url, ping_interval=timedelta(seconds=0.5))
    await StreamManager(connection).ensure((AI_EVENTS,))
    return connection


def ids(events: list[DomainEvent]) -> list[str]:
    return [event.request_id for event in events]


async def test_an_event_arrives_with_everything(own_server: NatsServer, events_connection: NatsConnection) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    log.record("message_received", user_id="ann", session_id="s1", request_id="r1", data={"text": "Wie spät?"})
    await log.close()
    (event,) = await stored(own_server, 1)
    assert (event.id, event.name, event.user_id, event.session_id, event.request_id, event.data) == (
        "ann/r1/message_received",
        "message_received",
        "ann",
        "s1",
        "r1",
        {"text": "Wie spät?"},
    )
    assert event.occurred_at.endswith("Z")
    assert len(event.occurred_at) == len("2026-01-01T00:00:00.000Z")


async def test_events_keep_their_order(own_server: NatsServer, events_connection: NatsConnection) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    for number in range(2000):
        log.record("message_received", request_id=str(number))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await log.close()
    assert log.waiting == 0
    assert ids(await stored(own_server, 2000)) == [str(number) for number in range(2000)]


async def test_the_same_event_told_twice_is_stored_once(
    own_server: NatsServer, events_connection: NatsConnection
) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    for _ in range(2):
        log.record("message_received", user_id="ann", request_id="r1")
        log.record("response_generated", user_id="ann", request_id="r1")
    await log.close()
    assert [event.name for event in await stored(own_server, 2)] == ["message_received", "response_generated"]


async def test_a_killed_server_costs_neither_order_nor_events(
    own_server: NatsServer, events_connection: NatsConnection
) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    for number in range(900):
        log.record("message_received", request_id=str(number))
        if number in {300, 600}:
            await asyncio.sleep(0)
            own_server.kill()
            await own_server.start_async()
        elif number % 10 == 0:
            await asyncio.sleep(0)
    await wait_until(lambda: log.waiting == 0, timeout=15)
    assert ids(await stored(own_server, 900)) == [str(number) for number in range(900)]
    assert log.lost == 0


async def test_a_frozen_server_gets_the_rest_when_it_goes_on(own_server: NatsServer, connect: Connect) -> None:
    connection = await connect(own_server.url, ping_interval=timedelta(seconds=30))
    await StreamManager(connection).ensure((AI_EVENTS,))
    log = EventLog(connection, CHAT_EVENT)
    log.record("message_received", request_id="before")
    await wait_until(lambda: log.waiting == 0)
    own_server.freeze()
    for number in range(50):
        log.record("message_received", request_id=str(number))
    assert log.waiting == 50
    own_server.thaw()
    await wait_until(lambda: log.waiting == 0, timeout=10)
    assert ids(await stored(own_server, 51)) == ["before", *map(str, range(50))]


async def test_events_wait_for_their_stream(own_server: NatsServer, connect: Connect) -> None:
    connection = await connect(own_server.url)
    log = EventLog(connection, CHAT_EVENT)
    for number in range(5):
        log.record("message_received", request_id=str(number))
    await connection.flush()
    assert log.waiting == 5
    await StreamManager(connection).ensure((AI_EVENTS,))
    await wait_until(lambda: log.waiting == 0, timeout=10)
    assert ids(await stored(own_server, 5)) == [str(number) for number in range(5)]


async def test_what_waits_is_bounded_and_a_loss_is_counted(own_server: NatsServer, connect: Connect) -> None:
    connection = await connect(own_server.url)
    log = EventLog(connection, CHAT_EVENT, most_kept=10_000)
    for number in range(100):
        log.record("message_received", request_id=str(number), data={"text": "x" * 900})
    assert 0 < log.waiting < 12
    assert log.lost == 100 - log.waiting


async def test_an_event_over_the_servers_limit_is_counted_and_holds_nothing_up(
    own_server: NatsServer, events_connection: NatsConnection
) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    log.record("message_received", request_id="large", data={"text": "x" * events_connection.max_payload})
    log.record("message_received", request_id="small")
    await log.close()
    assert log.lost == 1
    assert ids(await stored(own_server, 1)) == ["small"]


async def test_text_that_no_encoding_takes_is_counted(
    own_server: NatsServer, events_connection: NatsConnection
) -> None:
    log = EventLog(events_connection, CHAT_EVENT)
    log.record("message_received", request_id="r1", data={"text": "\ud800"})
    await log.close()
    assert log.lost == 1
    await stored(own_server, 0)


async def test_closing_gives_up_after_its_budget(own_server: NatsServer, connect: Connect) -> None:
    log = EventLog(await connect(own_server.url), CHAT_EVENT)
    log.record("message_received", request_id="r1")
    await log.close(timedelta(milliseconds=50))
    assert log.waiting == 1


async def test_two_domains_share_a_connection(own_server: NatsServer, events_connection: NatsConnection) -> None:
    chat, voice = EventLog(events_connection, CHAT_EVENT), EventLog(events_connection, VOICE_EVENT)
    chat.record("message_received", request_id="1")
    voice.record("request_received", request_id="2")
    await chat.close()
    await voice.close()
    assert {event.name for event in await stored(own_server, 2)} == {"message_received", "request_received"}


async def test_an_event_leaves_before_the_answer_that_follows_it_and_alone_when_nothing_does(
    own_server: NatsServer, events_connection: NatsConnection
) -> None:
    client = await nats.connect(own_server.url)
    try:
        heard = await client.subscribe(">")
        await client.flush()
        log = EventLog(events_connection, CHAT_EVENT)
        log.record("message_received", request_id="r1")
        assert (await heard.next_msg(timeout=5)).subject == "ai.chat.event.message_received"
        log.record("response_generated", request_id="r1")
        await events_connection.publish("answer")
        last = seen = ""
        while seen != "answer":
            last, seen = seen, (await heard.next_msg(timeout=5)).subject
        assert last == "ai.chat.event.response_generated"
        await log.close()
    finally:
        await client.close()
