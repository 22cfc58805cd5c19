"""Whole processes, killed, frozen and restarted under load: nothing accepted is lost, nothing is answered twice."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from datetime import timedelta

import pytest

from deploy.tests.fleet.ledger import Ledger, StartReplica
from handler_base.messages import ChatRequest, encode
from handler_base.messages.subjects import CHAT_REQUEST
from handler_base.nats_client import DeadLetters, JetStreamApi
from handler_base.testing.inference import FakeLLM, hang, status
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until


async def all_answered(ledger: Ledger, *, timeout: float = 20) -> None:
    try:
        await wait_until(lambda: not ledger.lost, timeout=timeout)
    except TimeoutError:
        pytest.fail(f"lost {len(ledger.lost)} of {len(ledger.asked)}: {sorted(ledger.lost)[:10]}")


async def test_rolling_restart_under_load_loses_nothing(start_replica: StartReplica, ledger: Ledger) -> None:
    old = [await start_replica(), await start_replica()]
    numbers = itertools.count()
    good: list[bool] = []
    enough = asyncio.Event()

    async def caller() -> None:
        while not enough.is_set():
            answered = await ledger.ask(f"r{next(numbers)}")
            good.append(answered)

    callers = [asyncio.create_task(caller()) for _ in range(16)]
    for replica in old:
        await start_replica()
        assert await replica.terminate() == 0
    await wait_until(lambda: len(good) >= 1000, timeout=20)
    enough.set()
    await asyncio.gather(*callers)
    assert (good.count(False), ledger.errors) == (0, {})


async def test_a_handler_killed_in_the_middle_of_durable_work(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.delay = 0.3
    victim, _ = await start_replica(), await start_replica()
    for number in range(40):
        await ledger.put(f"r{number}")
    await wait_until(lambda: llm.open_streams > 10)
    await victim.kill()
    await all_answered(ledger)
    assert ledger.doubled == set()
    assert ledger.errors == {}


async def test_nats_killed_and_started_again(start_replica: StartReplica, ledger: Ledger, nats: NatsServer) -> None:
    replica = await start_replica()
    await ledger.put("before")
    await all_answered(ledger)
    nats.kill()
    await wait_until(lambda: not ledger.client.is_connected)
    await nats.start_async()
    began = time.monotonic()
    await wait_until(lambda: ledger.client.is_connected)
    await ledger.put("after")
    await all_answered(ledger)
    assert time.monotonic() - began < 1.0, "consuming again within a second of the server's return"
    await wait_until(replica.is_ready)


async def test_nats_frozen_is_noticed_and_no_reason_to_restart(
    start_replica: StartReplica, ledger: Ledger, nats: NatsServer
) -> None:
    replica = await start_replica()

    async def not_ready() -> bool:
        return not await replica.is_ready()

    nats.freeze()
    await wait_until(not_ready, timeout=10)
    assert await replica.is_alive()
    nats.thaw()
    await wait_until(replica.is_ready, timeout=10)
    await wait_until(lambda: ledger.client.is_connected, timeout=10)
    await ledger.put("after")
    await all_answered(ledger)


@pytest.mark.faults
async def test_lame_duck_moves_without_loss(start_replica: StartReplica, ledger: Ledger, nats: NatsServer) -> None:
    await start_replica()
    await ledger.put("before")
    await all_answered(ledger)
    nats.lame_duck()
    await wait_until(lambda: not nats.running, timeout=20)
    await nats.start_async()
    await wait_until(lambda: ledger.client.is_connected, timeout=10)
    await ledger.put("after")
    await all_answered(ledger)
    assert ledger.doubled == set()


async def test_a_frozen_handler_loses_its_work_to_another_and_does_not_answer_twice(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.delay = 0.5
    # The one that is frozen still has attempts coming, once a second here: enough are left when the other is there.
    frozen = await start_replica(MAX_DELIVER="50")
    await ledger.put("r1")
    await wait_until(lambda: llm.open_streams == 1)
    frozen.send(signal.SIGSTOP)
    await start_replica(MAX_DELIVER="50")
    await all_answered(ledger)
    frozen.send(signal.SIGCONT)
    await wait_until(frozen.is_ready, timeout=10)
    await ledger.put("r2")
    await all_answered(ledger)
    assert ledger.doubled == set()


async def test_a_model_server_that_fails_for_a_while(start_replica: StartReplica, ledger: Ledger, llm: FakeLLM) -> None:
    llm.script.failures = [status(503)] * 3
    await start_replica()
    await ledger.put("r1")
    await all_answered(ledger, timeout=25)
    assert ledger.errors == {}


async def test_a_model_server_that_hangs_is_given_up_at_the_deadline(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.always = hang()
    await start_replica()
    reply = await ledger.client.request(
        CHAT_REQUEST.template,
        encode(ChatRequest(message="hi", enable_rag=False)),
        headers={"Deadline-Ms": "300"},
        timeout=timedelta(seconds=5),
    )
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error-Code"] == "504"
    await wait_until(lambda: llm.open_streams == 0)


async def test_a_deleted_consumer_is_made_again(start_replica: StartReplica, ledger: Ledger) -> None:
    await start_replica()
    await ledger.client.request("$JS.API.CONSUMER.DELETE.COMPANIONS_CHAT.chat-handler", timeout=timedelta(seconds=5))
    await ledger.put("r1")
    await all_answered(ledger)


async def test_a_deleted_stream_is_made_again(start_replica: StartReplica, ledger: Ledger) -> None:
    replica = await start_replica()
    await ledger.client.request("$JS.API.STREAM.DELETE.COMPANIONS_CHAT", timeout=timedelta(seconds=5))
    api = JetStreamApi(ledger.client)

    async def there() -> bool:
        return "COMPANIONS_CHAT" in ((await api.stream_names()) or [])  # type: ignore[operator]

    await wait_until(there, timeout=10)
    await wait_until(replica.is_ready, timeout=10)
    await ledger.put("r1")
    await all_answered(ledger)


async def test_the_same_question_published_twice_is_answered_once(start_replica: StartReplica, ledger: Ledger) -> None:
    await start_replica()
    await ledger.put("r1")
    await ledger.put("r1")
    await ledger.put("r2")
    await all_answered(ledger)
    assert ledger.doubled == set()


async def test_an_outage_is_caught_up_with_without_a_stampede(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    first = await start_replica(MAX_CONCURRENCY="8")
    await first.terminate()
    for number in range(200):
        await ledger.put(f"r{number}")
    llm.script.delay = 0.02
    most = 0

    def watch() -> bool:
        nonlocal most
        most = max(most, llm.open_streams)
        return not ledger.lost

    await start_replica(MAX_CONCURRENCY="8")
    await wait_until(watch, timeout=20, every=0.002)
    assert most <= 8
    assert ledger.doubled == set()


async def test_what_kills_its_handler_every_time_ends_among_the_dead_letters(
    start_replica: StartReplica, ledger: Ledger, llm: FakeLLM
) -> None:
    llm.script.always = hang()
    victim = await start_replica(MAX_DELIVER="2")
    await ledger.put("poison")
    for killed in range(2):
        await wait_until(lambda killed=killed: (llm.open_streams, llm.disconnects) == (1, killed), timeout=10)
        # The server tells once that it gives work up, when the last attempt is overdue: somebody has to be there then.
        following = await start_replica(MAX_DELIVER="2")
        await victim.kill()
        victim = following
    letters = DeadLetters(ledger.client)

    async def buried() -> bool:
        return bool([record async for record in letters.records()])

    await wait_until(buried, timeout=10)
    (record,) = [record async for record in letters.records()]
    assert (record.reason, record.origin.attempts) == ("max_deliveries", 2)
