"""Minutes of kills under load, for `make test-faults`: the ledger must balance at the end."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import timedelta

import psutil
import pytest

from deploy.tests.fleet.ledger import Ledger, StartReplica
from handler_base.messages import ChatRequest, encode
from handler_base.messages.subjects import CHAT_REQUEST
from handler_base.nats_client import ApiError, DeadLetters, JetStreamApi
from handler_base.testing.inference import FakeLLM
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

pytestmark = pytest.mark.faults


async def keep_asking(ledger: Ledger, total: int) -> None:
    for number in range(total):
        while not await asked(ledger, f"r{number}"):
            await wait_until(lambda: ledger.client.is_connected, timeout=30)


async def asked(ledger: Ledger, request_id: str) -> bool:
    try:
        await ledger.put(request_id)
    except Exception:  # noqa: BLE001 - the server was killed under it; the same id is put again
        return False
    return True


async def test_twenty_kills_of_handlers_while_two_thousand_questions_flow(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.delay = 0.05
    chance = random.Random(20261120)
    replicas = [await start_replica(MAX_DELIVER="50"), await start_replica(MAX_DELIVER="50")]
    asking = asyncio.create_task(keep_asking(ledger, 2000))
    for _ in range(20):
        mark = len(ledger.answers) + chance.randrange(10, 60)
        await wait_until(lambda mark=mark: len(ledger.answers) >= mark or asking.done(), timeout=30)
        victim = replicas.pop(chance.randrange(len(replicas)))
        await victim.kill()
        replicas.append(await start_replica(MAX_DELIVER="50"))
    await asking
    await wait_until(lambda: not ledger.lost, timeout=60)
    assert (len(ledger.asked), ledger.doubled, ledger.errors) == (2000, set(), {})


async def test_five_kills_of_nats_while_a_thousand_questions_flow(
    start_replica: StartReplica, ledger: Ledger, nats: NatsServer, llm: FakeLLM
) -> None:
    """No accepted question goes unhandled. Answers are core NATS: whoever has no link misses them."""
    llm.script.delay = 0.02
    for _ in range(2):
        await start_replica(MAX_DELIVER="50")
    asking = asyncio.create_task(keep_asking(ledger, 1000))
    for _ in range(5):
        mark = len(ledger.asked) + 100
        await wait_until(lambda mark=mark: len(ledger.asked) >= mark or asking.done(), timeout=30)
        nats.kill()
        await nats.start_async()
        await wait_until(lambda: ledger.client.is_connected, timeout=30)
    await asking
    await wait_until(lambda: drained(ledger), timeout=60)
    handled = {
        request.json["messages"][-1]["content"] for request in llm.requests if request.path.endswith("completions")
    }
    assert ledger.asked - handled == set()
    assert ledger.errors == {}
    assert [record async for record in DeadLetters(ledger.client).records()] == []


async def drained(ledger: Ledger) -> bool:
    """Whether every question is settled on the server."""
    info = await JetStreamApi(ledger.client).consumer_info("COMPANIONS_CHAT", "chat-handler")
    return not isinstance(info, ApiError) and (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_frozen_replicas_never_answer_for_another(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.delay = 0.1
    replicas = [await start_replica(MAX_DELIVER="50") for _ in range(3)]
    asking = asyncio.create_task(keep_asking(ledger, 600))
    for number in range(6):
        frozen = replicas[number % 3]
        frozen.send(signal.SIGSTOP)
        mark = len(ledger.answers) + 60
        await wait_until(lambda mark=mark: len(ledger.answers) >= mark or not ledger.lost, timeout=30)
        frozen.send(signal.SIGCONT)
        await wait_until(frozen.is_ready, timeout=20)
    await asking
    await wait_until(lambda: not ledger.lost, timeout=60)
    assert (ledger.doubled, ledger.errors) == (set(), {})


async def test_memory_is_flat_over_twenty_thousand_questions(start_replica: StartReplica, ledger: Ledger) -> None:
    replica = await start_replica()
    process = psutil.Process(replica.pid)
    request = encode(ChatRequest(message="hi", enable_rag=False))

    async def ask(number: int) -> None:
        for _ in range(number):
            await ledger.client.request(CHAT_REQUEST.template, request, timeout=timedelta(seconds=10))

    await asyncio.gather(*(ask(300) for _ in range(16)))
    before = process.memory_info().rss
    await asyncio.gather(*(ask(950) for _ in range(16)))
    assert process.memory_info().rss - before < 4 * 1024 * 1024
    assert process.num_fds() < 64
