"""Hostile bodies into live sessions of a running stt-module: a typed error each, and other sessions go on."""

from __future__ import annotations

import sys

import pytest

from deploy.tests.hostile.bodies import Body, harmful, huge, unreadable
from deploy.tests.hostile.vitals import Vitals
from handler_base.messages import STTStreamMessage
from handler_base.messages.subjects import STT_STREAM
from handler_base.nats_client import Msg
from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.stt_caller import HeardSession, SttCaller, stt_caller
from handler_base.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1024 * 1024
SPEECH = b"".join(value.to_bytes(2, "little", signed=True) for value in (9000, 8000, -9000, -8000) * 8000)
QUIET = bytes(32_000)


def bodies() -> list[Body]:
    return [*unreadable(STTStreamMessage), *harmful(), *huge()]


async def throw(caller: SttCaller, heard: HeardSession, body: Body) -> None:
    """Send a body into a session and wait for its refusal."""
    told = len(heard.told)
    await caller.client.publish(STT_STREAM.format(session_id=heard.session_id), body.payload, headers=body.headers)
    await heard.until(lambda heard: len(heard.told) > told, timeout=5)


async def test_each_body_is_a_typed_error_and_sessions_go_on(nats: NatsServer) -> None:
    async with FakeSTT() as stt:
        settings = {"NATS_URL": nats.url, "WHISPER_URL": stt.url, "VAD": "energy", "LOG_LEVEL": "ERROR"}
        async with ServiceProcess("stt_module", settings) as service, stt_caller(nats.url) as caller:
            inside = await caller.hear()
            await caller.send(inside, "start")
            number = await caller.speak(inside, QUIET + SPEECH[:32_000])
            for body in bodies():
                await throw(caller, inside, body)
            vitals = Vitals(service)
            before = vitals.resident
            vitals.reset_peak()
            for place, body in enumerate(bodies()):
                outside = await caller.hear(f"outside-{place}")
                await throw(caller, outside, body)
                assert outside.codes[0] in {"400", "413", "415"}, body.name
            assert vitals.peak - before < 40 * MIB
            await caller.speak(inside, SPEECH[32_000:] + QUIET, first=number)
            await caller.send(inside, "end")
            await inside.ended()
            assert set(inside.codes) <= {"400", "413", "415"}
            assert [final.transcript for final in inside.finals] == ["What is NATS?"]
            assert await service.is_ready()
            assert "Traceback" not in service.log


async def test_nobody_else_may_pass_messages_on(nats: NatsServer) -> None:
    """What comes on a replica's own subject without its headers, or with nonsense in them, is passed over."""
    async with FakeSTT() as stt:
        settings = {"NATS_URL": nats.url, "WHISPER_URL": stt.url, "VAD": "energy"}
        async with ServiceProcess("stt_module", settings) as service, stt_caller(nats.url) as caller:
            replicas: list[str] = []

            def note(msg: Msg) -> None:
                replicas.append(msg.subject.rpartition(".")[2])

            await caller.client.subscribe("$KV.STT_SESSIONS.member.*", note)
            heard = await caller.say(QUIET + SPEECH + QUIET)
            await wait_until(lambda: replicas)
            for headers in ({}, {"Live-Session": "a b"}, {"Live-Session": "x", "Live-At": "never"}, {"Live-Done": "x"}):
                subject = f"ai.voice.stt.replica.{replicas[0]}"
                await caller.client.publish(subject, b"\xc1", headers=headers or None)
            heard = await caller.say(QUIET + SPEECH + QUIET)
            assert len(heard.finals) == 1
            assert "Traceback" not in service.log
