from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import nats
import pytest

from handler_base.errors import InvalidRequestError
from handler_base.nats_client import Msg, NatsConnection, ServiceResponder, discover
from handler_base.testing.nats_connect import Connect

IDENTITY = {"type", "name", "id", "version", "metadata"}


@pytest.fixture
async def responder(connection: NatsConnection) -> ServiceResponder:
    service = ServiceResponder(
        connection, name="test-service", version="1.2.3", description="For tests.", metadata={"team": "x"}
    )
    stats = service.add_endpoint("ask", "ai.test.ask", queue_group="test-service", metadata={"schema": "Ask"})
    service.add_endpoint("work", "ai.test.*.work", queue_group="")
    stats.record(0.5)
    stats.record(1.5, "overloaded")
    stats.data = lambda: {"in_flight": 3}
    await service.start()
    await connection.flush()
    return service


async def ask(url: str, subject: str) -> list[dict[str, Any]]:
    """Ask as any NATS tool does."""
    peer = await nats.connect(url)
    inbox = peer.new_inbox()
    subscription = await peer.subscribe(inbox)
    await peer.publish(subject, b"", reply=inbox)
    await peer.flush()
    answers = []
    try:
        while True:
            msg = await subscription.next_msg(timeout=0.2)
            if msg.data:
                answers.append(msgspec.json.decode(msg.data))
    except nats.errors.TimeoutError:
        pass
    await peer.close()
    return answers


@pytest.mark.parametrize("scope", ["", ".test-service", ".test-service.{id}"])
async def test_ping_names_the_instance(responder: ServiceResponder, nats_url: str, scope: str) -> None:
    [answer] = await ask(nats_url, f"$SRV.PING{scope.format(id=responder.instance_id)}")
    assert answer == {
        "type": "io.nats.micro.v1.ping_response",
        "name": "test-service",
        "id": responder.instance_id,
        "version": "1.2.3",
        "metadata": {"team": "x"},
    }


async def test_info_lists_the_endpoints(responder: ServiceResponder, nats_url: str) -> None:
    [answer] = await ask(nats_url, "$SRV.INFO.test-service")
    assert answer.keys() == IDENTITY | {"description", "endpoints"}
    assert answer["type"] == "io.nats.micro.v1.info_response"
    assert answer["description"] == "For tests."
    assert answer["endpoints"] == [
        {"name": "ask", "subject": "ai.test.ask", "queue_group": "test-service", "metadata": {"schema": "Ask"}},
        {"name": "work", "subject": "ai.test.*.work", "metadata": {}},
    ]


async def test_stats_counts_requests_errors_and_time(responder: ServiceResponder, nats_url: str) -> None:
    [answer] = await ask(nats_url, "$SRV.STATS")
    assert answer.keys() == IDENTITY | {"started", "endpoints"}
    assert answer["type"] == "io.nats.micro.v1.stats_response"
    assert datetime.fromisoformat(answer["started"]).utcoffset() == timedelta(0)
    assert answer["endpoints"] == [
        {
            "name": "ask",
            "subject": "ai.test.ask",
            "queue_group": "test-service",
            "num_requests": 2,
            "num_errors": 1,
            "last_error": "overloaded",
            "processing_time": 2_000_000_000,
            "average_processing_time": 1_000_000_000,
            "data": {"in_flight": 3},
        },
        {
            "name": "work",
            "subject": "ai.test.*.work",
            "num_requests": 0,
            "num_errors": 0,
            "last_error": "",
            "processing_time": 0,
            "average_processing_time": 0,
        },
    ]


async def test_every_instance_answers_and_a_stopped_one_does_not(
    connect: Connect, nats_url: str, connection: NatsConnection, responder: ServiceResponder
) -> None:
    second_connection = await connect(nats_url)
    second = ServiceResponder(second_connection, name="test-service", version="1.2.3")
    await second.start()
    await second_connection.flush()
    found = await discover(connection, "PING", name="test-service")
    assert {answer["id"] for answer in found} == {responder.instance_id, second.instance_id}
    await second.stop()
    found = await discover(connection)
    assert [answer["id"] for answer in found] == [responder.instance_id]


async def test_where_no_service_is_the_answer_is_empty_at_once(connection: NatsConnection) -> None:
    async with asyncio.timeout(1):
        assert await discover(connection, "INFO", name="nobody", wait=timedelta(seconds=30)) == []


async def test_nonsense_and_questions_without_a_reply_harm_nobody(
    connection: NatsConnection, responder: ServiceResponder
) -> None:
    def answer(msg: Msg) -> None:
        connection.send(msg.reply, b"nonsense")

    odd = await connection.subscribe("$SRV.STATS.test-service", answer)
    await connection.publish("$SRV.STATS.test-service")
    found = await discover(connection, name="test-service")
    await odd.unsubscribe()
    assert [service["id"] for service in found] == [responder.instance_id]


@pytest.mark.parametrize(("name", "version"), [("a.b", "1.0.0"), ("", "1.0.0"), ("a", "1.0"), ("a", "v1.0.0")])
async def test_malformed_names_and_versions_are_refused(connection: NatsConnection, name: str, version: str) -> None:
    with pytest.raises(InvalidRequestError):
        ServiceResponder(connection, name=name, version=version)


async def test_a_malformed_endpoint_name_is_refused(connection: NatsConnection) -> None:
    service = ServiceResponder(connection, name="a", version="1.0.0-rc.1+build.5")
    with pytest.raises(InvalidRequestError):
        service.add_endpoint("a.b", "x", queue_group="")


async def test_metadata_may_change_while_the_service_runs(connection: NatsConnection, nats_url: str) -> None:
    told = {"pipelines": "a"}
    service = ServiceResponder(connection, name="changing", version="1.0.0", metadata=lambda: told)
    await service.start()
    await connection.flush()
    [before] = await ask(nats_url, "$SRV.INFO.changing")
    told["pipelines"] = "a b"
    [after] = await ask(nats_url, "$SRV.INFO.changing")
    assert (before["metadata"], after["metadata"]) == ({"pipelines": "a"}, {"pipelines": "a b"})
