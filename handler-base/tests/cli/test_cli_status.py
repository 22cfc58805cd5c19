"""`fleet status`."""

from __future__ import annotations

import msgspec

from handler_base.errors import UpstreamError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse
from handler_base.nats_client import Msg, NatsConnection, ServiceResponder
from handler_base.testing.probe import StartService, echo

from .conftest import Fleet


async def test_services_with_their_load(fleet: Fleet, start: StartService) -> None:
    async def picky(request: ChatRequest, context: Context) -> ChatResponse:
        if request.message == "bad":
            raise UpstreamError
        return await echo(request, context)

    running = await start(picky)
    await running.ask(ChatRequest(message="hi"))
    await running.ask(ChatRequest(message="bad"))
    run = await fleet("status", "--json")
    (service,) = run.json
    assert (service["name"], service["version"]) == ("probe", "0.1.0")
    assert (service["requests"], service["errors"]) == (2, 1)
    assert service["average_ms"] > 0
    subjects = {endpoint["subject"]: endpoint for endpoint in service["endpoints"]}
    assert subjects["ai.chat.request"]["last_error"] == "upstream_error"
    assert (service["health"], service["in_flight"]) == ("ok", 0)
    running.handler.works["reranker"] = False
    table = await fleet("status")
    assert table.code == 0
    assert "degraded: reranker" in table.out
    assert "probe" in table.out
    endpoints = await fleet("status", "probe", "--endpoints")
    assert "ai.chat.user.*.message" in endpoints.out


async def test_health_and_in_flight_come_from_the_stats_data(fleet: Fleet, client: NatsConnection) -> None:
    responder = ServiceResponder(client, name="made-up", version="1.2.3")
    for count in (2, 3):
        stats = responder.add_endpoint(f"e{count}", f"test.{count}", queue_group="")
        stats.data = {"in_flight": count, "health": "degraded\x1b[0m: reranker"}.copy
    await responder.start()
    await client.flush()
    (service,) = (await fleet("status", "--json")).json
    assert service["in_flight"] == 3
    assert service["health"] == "degraded\x1b[0m: reranker"
    table = await fleet("status")
    assert "degraded[0m: reranker" in table.out


async def test_none_answers(fleet: Fleet) -> None:
    run = await fleet("status")
    assert run.code == 4
    assert run.err.startswith("fleet: No service answers at nats://127.0.0.1:")
    as_json = await fleet("status", "chat-handler", "--json")
    assert as_json.code == 4
    assert as_json.json == []
    assert "No chat-handler answers" in as_json.err


async def test_nonsense_is_left_out(fleet: Fleet, client: NatsConnection) -> None:
    def answer(msg: Msg) -> None:
        client.send(msg.reply, msgspec.json.encode({"name": 5}))
        client.send(msg.reply, b"nonsense")

    await client.subscribe("$SRV.STATS", answer)
    await client.flush()
    assert (await fleet("status")).code == 4
