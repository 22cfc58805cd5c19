"""The life of a service as an orchestrator sees it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from handler_base.handler import Context, Handler, endpoint, endpoints_of
from handler_base.messages import ChatRequest, ChatResponse
from handler_base.messages.subjects import CHAT_REQUEST, PIPELINE_TRIGGER, VOICE_CANCEL
from handler_base.nats_client import discover
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import Running, StartService, echo
from handler_base.testing.waiting import wait_until


async def probe(running: Running, path: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{running.service.health_port}{path}") as answer,
    ):
        return answer.status, await answer.json() if path != "/metrics" else await answer.text()


async def test_ready_names_what_it_looked_at(start: StartService) -> None:
    running = await start()
    status, body = await probe(running, "/ready")
    assert (status, body["status"]) == (200, "ok")
    assert {"lifecycle", "nats", "streams", "consumer COMPANIONS_CHAT"} <= set(body["checks"])


async def test_a_dependency_that_is_away_degrades_and_does_not_take_down(start: StartService) -> None:
    running = await start()
    running.handler.works = {"reranker": False, "llm": True}
    status, body = await probe(running, "/ready")
    assert (status, body["status"], body["degraded"]) == (200, "degraded", {"reranker": "away"})
    assert 'fleet_degraded_dependencies{dependency="reranker"} 1.0' in (await probe(running, "/metrics"))[1]


async def test_without_nats_it_is_alive_and_not_ready(start: StartService, own_nats: NatsServer) -> None:
    running = await start(nats_ping_interval=1)
    own_nats.kill()
    await wait_until(lambda: not running.service.ready)
    assert (await probe(running, "/health"))[0] == 200
    status, body = await probe(running, "/ready")
    assert status == 503
    assert not body["checks"]["nats"]["ok"]
    await own_nats.start_async()
    await wait_until(lambda: running.service.ready, timeout=10)


async def test_verify_names_a_missing_stream_and_makes_none(start: StartService) -> None:
    running = await start()
    await running.service.stop()
    await running.client.request("$JS.API.STREAM.DELETE.AI_CHAT_STREAM", timeout=timedelta(seconds=5))
    checked = await start(streams_mode="verify")
    status, body = await probe(checked, "/ready")
    assert status == 503
    assert "AI_CHAT_STREAM" in body["checks"]["streams"]["detail"]


async def test_any_nats_tool_lists_the_service(start: StartService) -> None:
    running = await start()
    await running.ask(ChatRequest(message="hi"))
    (stats,) = await discover(running.client, "STATS")
    endpoints = {entry["subject"]: entry for entry in stats["endpoints"]}  # type: ignore[attr-defined]
    assert stats["name"] == "probe"
    assert endpoints["ai.chat.request"]["num_requests"] == 1
    assert {"ai.chat.user.*.message", "ai.chat.user.*.greeting.request"} < set(endpoints)


async def test_metrics_carry_the_template_and_never_the_subject(start: StartService) -> None:
    running = await start()
    responses = await running.listen("ai.chat.response.*")
    await running.put(ChatRequest(message="hi"), user_id="ann-the-user")
    await asyncio.wait_for(responses.get(), 5)
    _, text = await probe(running, "/metrics")
    assert "ai.chat.user.{user_id}.message" in text
    assert "ann-the-user" not in text


async def test_metrics_tell_how_far_durable_work_lags(start: StartService) -> None:
    may_end = asyncio.Event()

    async def held_up(request: ChatRequest, context: Context) -> ChatResponse:
        await may_end.wait()
        return await echo(request, context)

    async def lag(running: Running) -> float:
        _, text = await probe(running, "/metrics")
        (line,) = [line for line in text.splitlines() if line.startswith("fleet_consumer_lag{")]
        assert 'stream="COMPANIONS_CHAT"' in line
        return float(line.rpartition(" ")[2])

    async def lags_by(messages: int) -> bool:
        return await lag(running) == messages

    running = await start(held_up, max_concurrency=1)
    assert await lag(running) == 0
    for number in range(3):
        await running.put(ChatRequest(request_id=f"r{number}", message="hi"))
    await wait_until(lambda: lags_by(3))
    may_end.set()
    await wait_until(lambda: lags_by(0))


async def test_metrics_tell_whether_it_is_ready(start: StartService, own_nats: NatsServer) -> None:
    running = await start(nats_ping_interval=1)
    assert "fleet_ready 1.0" in (await probe(running, "/metrics"))[1]
    own_nats.kill()
    await wait_until(lambda: not running.service.ready)
    assert "fleet_ready 0.0" in (await probe(running, "/metrics"))[1]


async def test_stopping_twice_is_stopping(start: StartService) -> None:
    running = await start()
    await running.service.stop()
    await running.service.stop()
    assert not running.service.ready


def test_a_subject_is_answered_by_one_method() -> None:
    class Two(Handler[Any]):
        name = "two"

        @endpoint(core=(CHAT_REQUEST,))
        async def one(self, request: ChatRequest, _: Context) -> ChatResponse:
            raise NotImplementedError

        @endpoint(core=(CHAT_REQUEST,))
        async def other(self, request: ChatRequest, _: Context) -> ChatResponse:
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"ai\.chat\.request is answered by both"):
        endpoints_of(Two)


def test_a_method_takes_what_its_subject_carries() -> None:
    with pytest.raises(TypeError, match="does not carry ChatRequest"):

        class Wrong(Handler[Any]):
            @endpoint(core=(PIPELINE_TRIGGER,))
            async def answer(self, request: ChatRequest, _: Context) -> ChatResponse:
                raise NotImplementedError


def test_durable_work_needs_a_stream() -> None:
    with pytest.raises(ValueError, match="no stream captures"):
        endpoint(durable=(VOICE_CANCEL,))
