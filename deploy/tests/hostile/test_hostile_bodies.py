"""Hostile bodies on every subject of a running service: a typed error each, and the service goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chat_handler import ChatHandler
from deploy.tests.hostile.bodies import Body, harmful, huge, unreadable
from handler_base.errors import ERROR_CODES
from handler_base.handler import Endpoint, endpoints_of
from handler_base.messages import ChatRequest
from handler_base.messages.subjects import Subject
from handler_base.nats_client import ApiError, DeadLetters, JetStreamApi
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until

ENDPOINTS = endpoints_of(ChatHandler)
CORE = [pytest.param(endpoint, subject, id=subject.template) for endpoint in ENDPOINTS for subject in endpoint.core]
DURABLE = [
    pytest.param(endpoint, subject, id=subject.template) for endpoint in ENDPOINTS for subject in endpoint.durable
]
CANCEL = [pytest.param(endpoint.cancel, id=endpoint.cancel.template) for endpoint in ENDPOINTS if endpoint.cancel]
REFUSALS = {str(code) for code in ERROR_CODES.values()}


def concrete(subject: Subject) -> str:
    return subject.format(**dict.fromkeys(subject.placeholders, "mallory"))


async def assert_serves(caller: ChatCaller, service: ServiceProcess, pid: int) -> None:
    """The same process answers, as before."""
    assert (await caller.ask(ChatRequest(message="hi", enable_rag=False))).answer.success
    assert (await caller.put(ChatRequest(message="hi", enable_rag=False))).answer.success
    assert await service.is_ready()
    assert service.pid == pid
    assert "Traceback" not in service.log


@pytest.mark.parametrize(("endpoint", "subject"), CORE)
async def test_each_body_is_answered_with_a_typed_error(
    endpoint: Endpoint, subject: Subject, service: ServiceProcess, caller: ChatCaller, llm: FakeLLM
) -> None:
    pid = service.pid
    unanswered = {}
    for body in (*unreadable(endpoint.schema), *harmful(), *huge()):
        reply = await caller.client.request(
            concrete(subject), body.payload, headers=body.headers, timeout=timedelta(seconds=5)
        )
        code = (reply.headers or {}).get("Nats-Service-Error-Code", "")
        if code not in REFUSALS or code == "500":
            unanswered[body.name] = code
    assert unanswered == {}
    assert llm.requests == []
    await assert_serves(caller, service, pid)


@pytest.mark.parametrize(("endpoint", "subject"), DURABLE)
async def test_each_durable_body_is_kept_aside_with_its_reason(
    endpoint: Endpoint, subject: Subject, service: ServiceProcess, caller: ChatCaller, llm: FakeLLM
) -> None:
    pid = service.pid
    bodies: dict[int, Body] = {}
    for body in (*unreadable(endpoint.schema), *huge()):
        ack = await caller.client.jetstream_publish(concrete(subject), body.payload, headers=body.headers)
        bodies[ack.sequence] = body
    letters = DeadLetters(caller.client)

    async def all_buried() -> bool:
        info = await JetStreamApi(caller.client).stream_info("AI_DEAD_LETTER")
        return not isinstance(info, ApiError) and info.state.messages >= len(bodies)

    await wait_until(all_buried, timeout=15, every=0.05)
    records = {record.origin.sequence: record async for record in letters.records()}
    assert set(records) == set(bodies)
    for sequence, body in bodies.items():
        record = records[sequence]
        assert record.reason in {"invalid_request", "unsupported_format", "payload_too_large"}, body.name
        assert record.origin.attempts == 1, body.name
        assert record.body_omitted or record.payload == body.payload, body.name
    assert llm.requests == []
    await assert_serves(caller, service, pid)


@pytest.mark.parametrize("subject", CANCEL)
async def test_a_cancel_subject_takes_anything(subject: Subject, service: ServiceProcess, caller: ChatCaller) -> None:
    pid = service.pid
    for number in range(5000):
        await caller.client.publish(subject.format(request_id=f"nobody-{number}"), b"\xc1")
    for body in (*unreadable(ChatRequest), *harmful(), *huge()):
        await caller.client.publish(concrete(subject), body.payload, headers=body.headers)
        await caller.client.flush()
    await assert_serves(caller, service, pid)
