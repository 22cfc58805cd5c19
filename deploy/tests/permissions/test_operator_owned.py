"""Where an operator owns the streams, the resources of the cluster make services ready that may make nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import nats
import pytest
from nats.js.api import KeyValueConfig, StorageType

from deploy.tests.manifests.tree import documents_of
from deploy.tests.permissions.guarded import SERVICES, GuardedServer, LogIn
from handler_base.messages import ChatRequest
from handler_base.messages.subjects import CLIENT
from handler_base.nats_client import ApiError, JetStreamApi, Msg, NatsConnection
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.waiting import wait_until

LATER_FORM: Final = "feature_flags { js_ack_fc_v2: true }\n"
"""Acknowledgement subjects with domain and account, as servers may send them from 2.15 on."""

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> timedelta:
    """Read a duration as Go writes it."""
    return timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([a-z]+)", text)))


def nanoseconds(text: str) -> int:
    return int(duration(text).total_seconds() * 1e9)


class FakeStreamController:
    """Makes what the resources ask for, by the rules of NACK, as the user it logs in as.

    There is one server here, perhaps with a small disk: one replica of everything, and nothing is set aside.

    Args:
        server: Where.
        connection: Of the user `streams`.
    """

    def __init__(self, server: GuardedServer, connection: NatsConnection) -> None:
        self._server = server
        self._api = JetStreamApi(connection)

    async def reconcile(self) -> None:
        """Make everything."""
        for one in documents_of("Stream"):
            self._made(await self._api.create_stream(self._stream(one["spec"])))
        for one in documents_of("Consumer"):
            spec = one["spec"]
            self._made(await self._api.put_consumer(spec["streamName"], self._consumer(spec), "create"))
        client = await nats.connect(self._server.url, user="streams", password=self._server.password("streams"))
        try:
            for one in documents_of("KeyValue"):
                spec = one["spec"]
                ttl = duration(spec["ttl"]).total_seconds() if "ttl" in spec else None
                # As Go's library does, which the controller uses.
                config = KeyValueConfig(
                    spec["bucket"],
                    spec["description"],
                    history=spec["history"],
                    ttl=ttl,
                    storage=_storage(spec),
                    direct=True,
                )
                await client.jetstream().create_key_value(config)
            for one in documents_of("ObjectStore"):
                await client.jetstream().create_object_store(one["spec"]["bucket"])
        finally:
            await client.close()

    def _stream(self, spec: dict[str, Any]) -> dict[str, object]:
        return {
            "name": spec["name"],
            "description": spec["description"],
            "subjects": spec["subjects"],
            "retention": spec["retention"],
            "discard": spec["discard"],
            "storage": spec["storage"],
            "max_age": nanoseconds(spec["maxAge"]),
            "duplicate_window": nanoseconds(spec["duplicateWindow"]),
            "num_replicas": 1,
        }

    def _consumer(self, spec: dict[str, Any]) -> dict[str, object]:
        config = {
            "durable_name": spec["durableName"],
            "name": spec["durableName"],
            "description": spec.get("description", ""),
            "deliver_policy": spec["deliverPolicy"],
            "ack_policy": spec["ackPolicy"],
            "ack_wait": nanoseconds(spec["ackWait"]),
            "max_deliver": spec["maxDeliver"],
            "max_ack_pending": spec["maxAckPending"],
            "replay_policy": spec["replayPolicy"],
            "filter_subject": spec.get("filterSubject", ""),
            "filter_subjects": spec.get("filterSubjects"),
        }
        return {name: value for name, value in config.items() if value}

    def _made(self, answer: object) -> None:
        assert not isinstance(answer, ApiError), answer


def _storage(spec: dict[str, Any]) -> StorageType:
    return StorageType.MEMORY if spec["storage"] == "memory" else StorageType.FILE


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedServer]:
    with GuardedServer(operator_owns=True, config=LATER_FORM) as running:
        yield running


@pytest.fixture
async def made(server: GuardedServer, log_in: LogIn) -> None:
    """Everything the resources ask for; making it again changes nothing."""
    await FakeStreamController(server, await log_in(server, "streams")).reconcile()


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.handler is not None])
async def test_a_service_is_ready_without_making_anything(server: GuardedServer, name: str) -> None:
    archive = {"ARCHIVE_MODE": "only" if name == "chat-archive" else "off", "ARCHIVE_URL": "sqlite:///:memory:"}
    settings = {**server.environment(name), **archive, "STREAMS_MODE": "verify", "REDIS_URL": "none"}
    async with ServiceProcess(SERVICES[name].package, settings) as service:
        assert await service.terminate() == 0
    assert server.violations == []


@pytest.mark.usefixtures("made")
async def test_a_question_is_answered_and_settled(server: GuardedServer, log_in: LogIn) -> None:
    settings = {**server.environment("chat-handler"), "STREAMS_MODE": "verify", "REDIS_URL": "none"}
    async with (
        FakeLLM() as llm,
        ServiceProcess("chat_handler", {**settings, "VLLM_URL": llm.url, "ARCHIVE_MODE": "off"}),
    ):
        caller = ChatCaller(await log_in(server, CLIENT))
        assert (await caller.put(ChatRequest(message="Hello?", enable_rag=False))).answer.success
        service = JetStreamApi(await log_in(server, "chat-handler"))

        async def settled() -> bool:
            info = await service.consumer_info("COMPANIONS_CHAT", "chat-handler")
            assert not isinstance(info, ApiError)
            return info.delivered.consumer_seq == info.ack_floor.consumer_seq == 1

        await wait_until(settled, timeout=5)
    assert server.violations == []


@pytest.mark.usefixtures("made")
async def test_acknowledgements_have_the_later_form(server: GuardedServer, log_in: LogIn) -> None:
    caller = ChatCaller(await log_in(server, CLIENT))
    await caller.client.jetstream_publish("ai.chat.user.ann.message", b"x")
    service = await log_in(server, "chat-handler")
    came: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = service.new_inbox()
    await service.subscribe(inbox, came.put_nowait)
    await service.publish("$JS.API.CONSUMER.MSG.NEXT.COMPANIONS_CHAT.chat-handler", b"1", reply=inbox)
    reply = (await asyncio.wait_for(came.get(), 5)).reply
    assert re.match(r"\$JS\.ACK\._\.\w+\.COMPANIONS_CHAT\.chat-handler\.", reply)
    await service.publish(reply, b"+ACK")
    await service.flush()
    assert server.violations == []
