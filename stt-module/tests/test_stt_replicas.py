"""Several replicas share the sessions: each is at one of them, whatever happens to the others."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import pytest

from handler_base.handler import Service
from handler_base.nats_client import KeyValue
from handler_base.telemetry import metrics
from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.stt_caller import HeardSession, SttCaller
from handler_base.testing.waiting import wait_until
from stt_module.stt_module import STT_SESSIONS

from .sounds import encoded, noise, vowels, wav

ROOM = noise(0.7, level=30)
LENGTHS = (0.4, 0.6, 0.8, 1.0)
SPEECH = ROOM + b"".join(vowels(length) + ROOM for length in LENGTHS)
STEP = 640
QUICK = {"vad": "energy", "stt_partials": False}
StartStt = Callable[..., Awaitable[Service]]
StartProcess = Callable[[], Awaitable[ServiceProcess]]


@pytest.fixture
async def start_process(nats: NatsServer, server: FakeSTT) -> AsyncIterator[StartProcess]:
    async with AsyncExitStack() as stack:

        async def one() -> ServiceProcess:
            environment = {"NATS_URL": nats.url, "WHISPER_URL": server.url, "VAD": "energy", "DRAIN_TIMEOUT": "5"}
            return await stack.enter_async_context(ServiceProcess("stt_module", environment))

        yield one


async def sessions_at(process: ServiceProcess) -> float:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{process.health_port}/metrics") as answer,
    ):
        found = re.search(r"^fleet_live_sessions\{.*\} (\S+)$", await answer.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def owner_of(processes: list[ServiceProcess]) -> ServiceProcess:
    (owner,) = [process for process in processes if await sessions_at(process)]
    return owner


def commits_tried_again() -> float:
    return metrics.REGISTRY.get_sample_value("fleet_swallowed_errors_total", {"where": "transcripts.commit"}) or 0


def has_ended(times: int, heard: HeardSession) -> bool:
    return sum(one.state == "ended" for one in heard.told) == times


def assert_each_once(heard: HeardSession, lengths: tuple[float, ...] = LENGTHS) -> None:
    """A final for each phrase, in order, each known by its length."""
    assert [final.sequence for final in heard.finals] == list(range(len(lengths)))
    for final, length in zip(heard.finals, lengths, strict=True):
        assert length * 1000 - 100 < final.audio_ms < length * 1000 + 700
    assert heard.errors == []


async def test_a_session_goes_on_within_two_seconds_when_its_replica_is_killed(
    start_process: StartProcess, caller: SttCaller
) -> None:
    replicas = [await start_process() for _ in range(2)]
    heard = await caller.hear()
    await caller.send(heard, "start", speaker_id="ann")
    first = await caller.speak(heard, SPEECH)
    await heard.until(lambda heard: len(heard.finals) == 4)
    owner = await owner_of(replicas)
    (other,) = [replica for replica in replicas if replica is not owner]
    breath = vowels(1.0) * 3
    await owner.kill()
    killed = time.monotonic()
    speaking = asyncio.create_task(caller.speak(heard, breath, step=STEP, pace=0.015, first=first))

    async def moved() -> bool:
        return await sessions_at(other) == 1

    await wait_until(moved)
    assert time.monotonic() - killed < 2.0
    # It is heard there: what was said since, to the end.
    first = await speaking
    first = await caller.speak(heard, ROOM, first=first)
    await heard.until(lambda heard: len(heard.finals) == 5)
    await caller.speak(heard, SPEECH, first=first)
    await caller.send(heard, "end")
    await heard.ended()
    assert [final.sequence for final in heard.finals] == list(range(9))
    assert {final.speaker_id for final in heard.finals} == {"ann"}
    assert heard.finals[4].audio_ms > 2000
    assert heard.errors == []
    assert not [line for process in replicas for line in process.log.splitlines() if "Traceback" in line]


@pytest.mark.faults
async def test_a_frozen_replica_that_wakes_up_says_nothing_more(
    start_process: StartProcess, caller: SttCaller, server: FakeSTT
) -> None:
    replicas = [await start_process() for _ in range(2)]
    heard = await caller.hear()
    await caller.send(heard, "start")
    first = await caller.speak(heard, SPEECH)
    await heard.until(lambda heard: len(heard.finals) == 4)
    owner = await owner_of(replicas)
    (other,) = [replica for replica in replicas if replica is not owner]
    # It has an utterance at the server when it is frozen, and the answer when it wakes up.
    server.script.delay = 0.5
    asked = len(server.requests)
    first = await caller.speak(heard, vowels(0.5) + ROOM, first=first)
    await wait_until(lambda: len(server.requests) > asked)
    owner.send(signal.SIGSTOP)

    async def moved() -> bool:
        return await sessions_at(other) == 1

    await wait_until(moved, timeout=5)
    server.script.delay = 0.0
    first = await caller.speak(heard, SPEECH, first=first)
    await caller.send(heard, "end")
    await heard.ended()
    told = len(heard.told)
    assert [final.sequence for final in heard.finals] == list(range(len(heard.finals)))
    assert len(heard.finals) >= 8
    owner.send(signal.SIGCONT)

    async def noticed() -> bool:
        return await sessions_at(owner) == 0

    await wait_until(noticed)
    await caller.client.flush()
    assert len(heard.told) == told


async def test_a_replica_that_stops_hands_its_sessions_over_whole(start: StartStt, caller: SttCaller) -> None:
    leaving, _ = await start(**QUICK), await start(**QUICK)
    sessions = [await caller.hear() for _ in range(8)]
    for heard in sessions:
        await caller.send(heard, "start")

    async def speak(heard: HeardSession) -> None:
        await caller.speak(heard, SPEECH, step=STEP, pace=0.002)
        await caller.send(heard, "end")

    speaking = asyncio.gather(*map(speak, sessions))
    await asyncio.gather(*(heard.until(lambda heard: heard.finals) for heard in sessions[:4]))
    began = time.monotonic()
    await leaving.stop()
    assert time.monotonic() - began < 2.0
    await speaking
    for heard in sessions:
        await heard.ended()
        assert_each_once(heard)


async def test_replicas_come_and_go_under_load(start: StartStt, caller: SttCaller) -> None:
    services = [await start(**QUICK)]
    sessions = [await caller.hear() for _ in range(24)]

    async def one(heard: HeardSession, delay: float) -> None:
        await asyncio.sleep(delay)
        await caller.send(heard, "start")
        await caller.speak(heard, SPEECH, step=3200, pace=0.02)
        await caller.send(heard, "end")

    talking = asyncio.gather(*(one(heard, 0.05 * number) for number, heard in enumerate(sessions)))
    services.append(await start(**QUICK))
    await sessions[8].until(lambda heard: heard.finals)
    services.append(await start(**QUICK))
    await services[0].stop()
    await sessions[16].until(lambda heard: heard.finals)
    await services[1].stop()
    await talking
    for heard in sessions:
        await heard.ended()
        assert_each_once(heard)


async def test_without_another_replica_a_session_waits_for_the_next(start: StartStt, caller: SttCaller) -> None:
    first = await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start", speaker_id="ann")
    number = await caller.speak(heard, ROOM + vowels(0.6))
    await caller.client.flush()
    await first.stop()
    await heard.until(lambda heard: heard.finals)
    await start(**QUICK)
    await caller.speak(heard, SPEECH, first=number)
    await caller.send(heard, "end")
    await heard.ended()
    assert [final.sequence for final in heard.finals] == list(range(5))
    assert {final.speaker_id for final in heard.finals} == {"ann"}


async def test_a_full_replica_passes_sessions_on_and_a_full_fleet_refuses_at_once(
    start: StartStt, caller: SttCaller
) -> None:
    for _ in range(2):
        await start(**QUICK, stt_sessions=2)
    sessions = [await caller.hear() for _ in range(5)]
    store = KeyValue(caller.client, STT_SESSIONS)

    async def kept(count: int) -> bool:
        return len(await store.keys("session.>")) == count

    for count, heard in enumerate(sessions[:4], start=1):
        await caller.send(heard, "start")
        await caller.send(heard, "state_change", state="responding")
        await wait_until(partial(kept, count))  # passed on or not, it has its place before the next one comes
    began = time.monotonic()
    await caller.send(sessions[4], "start")
    await sessions[4].until(lambda heard: heard.told)
    assert time.monotonic() - began < 0.5
    assert (sessions[4].errors, sessions[4].codes) == (["overloaded"], ["429"])
    for heard in sessions[:4]:
        await caller.send(heard, "end")
        await heard.ended()
        assert heard.errors == []


async def test_nothing_is_left_in_the_bucket_of_sessions_that_ended(start: StartStt, caller: SttCaller) -> None:
    for _ in range(2):
        await start(**QUICK)
    for _ in range(3):
        assert_each_once(await caller.say(SPEECH))
    store = KeyValue(caller.client, STT_SESSIONS)

    async def empty() -> bool:
        return not await store.keys("session.>")

    await wait_until(empty)


async def test_a_name_can_be_used_again_at_once(start: StartStt, caller: SttCaller) -> None:
    for _ in range(2):
        await start(**QUICK)
    heard = await caller.hear()
    for times in range(1, 4):
        await caller.send(heard, "start")
        await caller.speak(heard, ROOM + vowels(0.5) + ROOM)
        await caller.send(heard, "end")
        await heard.until(partial(has_ended, times))
    assert [final.sequence for final in heard.finals] == [0, 0, 0]
    assert heard.errors == []


@pytest.mark.parametrize("container", ["webm", "ogg", "mp3", "wav"])
async def test_a_container_goes_on_in_the_middle(start: StartStt, caller: SttCaller, container: str) -> None:
    leaving, _ = await start(**QUICK), await start(**QUICK)
    audio = wav(SPEECH) if container == "wav" else encoded(SPEECH, container)
    half = len(audio) // 2
    sessions = [await caller.hear() for _ in range(4)]
    for heard in sessions:
        await caller.send(heard, "start")
        await caller.speak(heard, audio[:half], step=1000)
    await asyncio.gather(*(heard.until(lambda heard: heard.finals) for heard in sessions))
    await leaving.stop()
    for heard in sessions:
        await caller.speak(heard, audio[half:], step=1000, first=half // 1000 + 2)
        await caller.send(heard, "end")
        await heard.ended()
        assert_each_once(heard)


async def test_a_session_goes_on_when_nats_was_away(nats: NatsServer, start: StartStt, caller: SttCaller) -> None:
    service = await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start", speaker_id="ann")
    number = await caller.speak(heard, SPEECH)
    await heard.until(lambda heard: len(heard.finals) == 4)
    nats.kill()
    await wait_until(lambda: not service.ready)
    await nats.start_async()
    await wait_until(lambda: service.ready and caller.client.is_connected, timeout=10)
    await caller.speak(heard, SPEECH, first=number)
    await caller.send(heard, "end")
    await heard.ended()
    assert [final.sequence for final in heard.finals] == list(range(8))
    assert {final.speaker_id for final in heard.finals} == {"ann"}


@pytest.mark.faults
async def test_a_final_waits_for_a_nats_that_is_away_for_long(
    nats: NatsServer, start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    service = await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start")
    number = await caller.speak(heard, ROOM + vowels(0.5) + ROOM)
    await heard.until(lambda heard: heard.finals)
    server.script.delay = 0.5
    asked = len(server.requests)
    number = await caller.speak(heard, vowels(0.6) + ROOM, first=number)
    await wait_until(lambda: len(server.requests) > asked)
    nats.kill()
    await wait_until(lambda: not service.ready)
    before = commits_tried_again()
    await wait_until(lambda: commits_tried_again() > before, timeout=15)
    await nats.start_async()
    await heard.until(lambda heard: len(heard.finals) == 2)
    server.script.delay = 0.0
    await caller.speak(heard, vowels(0.8) + ROOM, first=number)
    await caller.send(heard, "end")
    await heard.ended()
    assert [final.sequence for final in heard.finals] == [0, 1, 2]
