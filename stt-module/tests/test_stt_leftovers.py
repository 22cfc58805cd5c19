"""Sessions leave nothing behind: no task, no subscription, no memory, nothing in the bucket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import psutil
import pytest

from handler_base.handler import Service
from handler_base.messages import STTStreamMessage, STTTranscription, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION
from handler_base.nats_client import KeyValue, Msg
from handler_base.testing.inference import FakeSTT
from handler_base.testing.nats_server import NatsServer, free_port
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.stt_caller import SttCaller, stt_caller
from handler_base.testing.waiting import wait_until
from stt_module.stt_module import STT_SESSIONS

from .sounds import encoded, noise, vowels

StartStt = Callable[..., Awaitable[Service]]
AT_ONCE = 100
START, END = encode(STTStreamMessage(type="start")), encode(STTStreamMessage(type="end"))
QUIET, LOUD = (encode(STTStreamMessage(type="chunk", audio=audio)) for audio in (noise(0.3, level=30), vowels(0.3)))
SPEECH = (QUIET, LOUD)


async def subscriptions_of(monitor: int) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{monitor}/connz") as answer:
        found: dict[str, list[dict[str, Any]]] = await answer.json()
    return sum(int(one["subscriptions"]) for one in found["connections"] if one["name"] == "stt-module")


async def open_and_close(caller: SttCaller, first: int, count: int, *chunks: bytes) -> None:
    """Open sessions, talk into them, end them, many at a time."""
    ended = 0

    def note(msg: Msg) -> None:
        nonlocal ended
        ended += decode(STTTranscription, msg.data).state == "ended"

    listening = await caller.client.subscribe(STT_TRANSCRIPTION.pattern, note)
    for start in range(first, first + count, AT_ONCE):
        names = [STT_STREAM.format(session_id=f"s-{number}") for number in range(start, start + AT_ONCE)]
        for body in (START, *chunks, END):
            for name in names:
                await caller.client.publish(name, body)
        done = start - first + AT_ONCE
        await wait_until(lambda done=done: ended >= done, timeout=20)
    await listening.unsubscribe()


def no_sessions(caller: SttCaller) -> Callable[[], Awaitable[bool]]:
    store = KeyValue(caller.client, STT_SESSIONS)

    async def empty() -> bool:
        return not await store.keys("session.>")

    return empty


@pytest.mark.parametrize("sessions", [200, pytest.param(2000, marks=pytest.mark.faults)])
async def test_sessions_leave_no_subscription_and_no_memory(server: FakeSTT, sessions: int) -> None:
    monitor = free_port()
    with NatsServer(f"http: 127.0.0.1:{monitor}") as nats:
        settings = {"NATS_URL": nats.url, "WHISPER_URL": server.url, "VAD": "energy", "STT_PARTIALS": "false"}
        async with ServiceProcess("stt_module", settings) as service, stt_caller(nats.url) as caller:
            await open_and_close(caller, 0, AT_ONCE, *SPEECH)
            await open_and_close(caller, AT_ONCE, 2 * AT_ONCE, QUIET)
            process = psutil.Process(service.pid)
            weight, subscriptions = process.memory_info().rss, await subscriptions_of(monitor)
            await open_and_close(caller, 3 * AT_ONCE, sessions, QUIET)
            await wait_until(no_sessions(caller), timeout=10)
            assert await subscriptions_of(monitor) == subscriptions
            assert process.memory_info().rss - weight < 8 * 2**20


async def test_sessions_leave_no_task_behind(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy")
    await open_and_close(caller, 0, AT_ONCE, *SPEECH)
    await wait_until(no_sessions(caller))
    tasks = len(asyncio.all_tasks())
    await open_and_close(caller, AT_ONCE, AT_ONCE, *SPEECH)
    await wait_until(no_sessions(caller))
    await wait_until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_session_with_a_container_ends_its_thread(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy")
    for container in ("webm", "mp3"):
        await caller.say(encoded(vowels(0.5), container), step=1000)
    await wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "live-audio"])
