"""Each service does all of its work as its own user: nothing it needs is refused."""

from __future__ import annotations

import asyncio
import math
import os
import re
import struct
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import nats
import pytest
from typer.testing import CliRunner

from deploy.tests.permissions.guarded import SERVICES, GuardedServer, LogIn
from handler_base.cli.app import app
from handler_base.messages import (
    ChatRequest,
    Encoding,
    GreetingRequest,
    LoginEvent,
    PipelineStatus,
    PipelineTrigger,
    VoiceRequest,
    decode,
    encode,
)
from handler_base.messages.subjects import (
    CHAT_EVENT,
    CHAT_GREETING_REQUEST,
    CHAT_GREETING_RESPONSE,
    CHAT_LOGIN,
    CHAT_USER_MESSAGE,
    CLIENT,
    PIPELINE_CANCEL,
    PIPELINE_STATUS,
    PIPELINE_TRIGGER,
    TTS_VOICES_LIST,
    TTS_VOICES_REFRESH,
    VOICE_REQUEST_LEGACY,
)
from handler_base.nats_client import DeadLetters, Msg, NatsConnection, ObjectStore, discover
from handler_base.sessions.archive import Archive
from handler_base.testing.chat_caller import ChatCaller
from handler_base.testing.inference import FakeLLM, FakeSTT, FakeTTS
from handler_base.testing.inference.speech import wav_file
from handler_base.testing.live_caller import LiveCaller
from handler_base.testing.service_process import ServiceProcess
from handler_base.testing.stt_caller import SttCaller
from handler_base.testing.tts_caller import TtsCaller
from handler_base.testing.voice_caller import VoiceCaller
from handler_base.testing.waiting import wait_until

WAIT = 15
RATE = 16_000
PLAIN = {"REDIS_URL": "none", "ARCHIVE_MODE": "off"}


class Fleet(Protocol):
    """Runs a command and returns what it printed."""

    async def __call__(self, *arguments: str, stdin: str = "") -> str: ...


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedServer]:
    with GuardedServer() as running:
        yield running


@pytest.fixture
async def models() -> AsyncIterator[dict[str, str]]:
    async with FakeLLM() as llm, FakeSTT() as stt, FakeTTS() as tts:
        yield {"VLLM_URL": llm.url, "WHISPER_URL": stt.url, "TTS_URL": tts.url}


def process(server: GuardedServer, user: str, **settings: str) -> ServiceProcess:
    return ServiceProcess(SERVICES[user].package, {**server.environment(user), **PLAIN, **settings})


@pytest.fixture
def fleet(server: GuardedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The command, run by an operator; it has to end well."""
    monkeypatch.chdir(tmp_path)
    settings = {"REDIS_URL": "none", "ARCHIVE_URL": f"sqlite:///{tmp_path / 'archive.db'}"}
    for name, value in {**server.environment("operator"), **settings}.items():
        monkeypatch.setenv(name, value)

    async def run(*arguments: str, stdin: str = "") -> str:
        runner = CliRunner()
        result = await asyncio.to_thread(runner.invoke, app, list(arguments), input=stdin, prog_name="fleet")
        assert result.exit_code == 0, result.output
        return result.output

    return run


async def names(operator: NatsConnection) -> set[object]:
    return {answer["name"] for answer in await discover(operator, "PING")}


async def test_the_chat_and_the_archive_in_it(
    server: GuardedServer, log_in: LogIn, models: dict[str, str], tmp_path: Path
) -> None:
    archive = {"ARCHIVE_MODE": "inside", "ARCHIVE_URL": f"sqlite:///{tmp_path / 'archive.db'}"}
    async with process(server, "chat-handler", **models, **archive) as service:
        caller, operator = ChatCaller(await log_in(server, CLIENT)), await log_in(server, "operator")
        stored: asyncio.Queue[object] = asyncio.Queue()
        await operator.subscribe(CHAT_EVENT.format(name="message_stored"), stored.put_nowait)
        await operator.flush()

        await caller.tell(CHAT_LOGIN.format(user_id="ann"), LoginEvent(user_id="ann", username="ann"))
        kept = await caller.put(ChatRequest(message="Hello?", enable_rag=False))
        assert kept.answer.success
        assert kept.chunks
        asked = await caller.ask(ChatRequest(user_id="ann", message="Again?", enable_rag=False))
        assert asked.answer.success
        for place in (caller.client.new_inbox(), "ai.chat.response.my.own.place"):
            there = await caller.listen(place)
            await caller.begin(ChatRequest(message="Elsewhere?", enable_rag=False, response_subject=place))
            await asyncio.wait_for(there.get(), WAIT)
        welcome = await caller.listen(CHAT_GREETING_RESPONSE.format(user_id="ann"))
        await caller.tell(CHAT_GREETING_REQUEST.format(user_id="ann"), GreetingRequest(username="ann"))
        await asyncio.wait_for(welcome.get(), WAIT)
        await caller.cancel(asked.answer.request_id)

        await caller.client.jetstream_publish(CHAT_USER_MESSAGE.format(user_id="ann"), b"\xc1 no message")
        await wait_until(lambda: buried(operator), timeout=WAIT)
        await asyncio.wait_for(stored.get(), WAIT)
        assert "chat-handler" in await names(operator)
        assert await service.terminate() == 0
    assert server.violations == []


async def buried(operator: NatsConnection) -> int:
    return len([record async for record in DeadLetters(operator).records()])


async def test_the_operator_runs_every_command(server: GuardedServer, fleet: Fleet, models: dict[str, str]) -> None:
    archive = Archive(os.environ["ARCHIVE_URL"])
    await archive.open()
    await archive.close()
    async with process(server, "chat-handler", **models) as service:
        assert "documents" in await fleet("chat", "Hello?", "--no-rag")
        assert "chat-handler" in await fleet("status")
        assert "COMPANIONS_CHAT" in await fleet("streams")
        assert "message_received" in await fleet("events")
        await fleet("publish", "ai.chat.user.bob.message", "-", stdin='{"message": "Hi."}')
        await fleet("publish", "ai.chat.request", "-", "--reply", stdin='{"message": "Hi."}')
        await fleet("dlq", "list")
        await fleet("forget", "bob", "--yes")
        assert await service.terminate() == 0
    assert server.violations == []


async def test_the_archive_by_itself(
    server: GuardedServer, log_in: LogIn, models: dict[str, str], tmp_path: Path
) -> None:
    archive = {"ARCHIVE_MODE": "only", "ARCHIVE_URL": f"sqlite:///{tmp_path / 'archive.db'}"}
    async with (
        process(server, "chat-handler", **models) as chat,
        process(server, "chat-archive", **models, **archive) as service,
    ):
        caller, operator = ChatCaller(await log_in(server, CLIENT)), await log_in(server, "operator")
        stored: asyncio.Queue[object] = asyncio.Queue()
        await operator.subscribe(CHAT_EVENT.format(name="message_stored"), stored.put_nowait)
        await operator.flush()
        await caller.ask(ChatRequest(user_id="eve", message="Hello?", enable_rag=False, session_id="one"))
        await asyncio.wait_for(stored.get(), WAIT)
        assert "chat-archive" in await names(operator)
        assert await chat.terminate() == await service.terminate() == 0
    assert server.violations == []


async def test_the_voice_assistant(
    server: GuardedServer, log_in: LogIn, models: dict[str, str], fleet: Fleet, tmp_path: Path
) -> None:
    recording = wav_file(b"\x01\x02" * 8000, 16000)
    await ObjectStore(await log_in(server, "operator")).make_bucket("audio", max_age=timedelta(hours=1))
    front = await nats.connect(server.url, user=CLIENT, password=server.password(CLIENT))
    await (await front.jetstream().object_store("audio")).put("question", recording)
    await front.close()
    await ObjectStore(await log_in(server, CLIENT)).put("audio", "question", recording)
    async with process(server, "voice-assistant", **models) as service:
        caller = VoiceCaller(await log_in(server, CLIENT))
        for request in (
            VoiceRequest(audio=recording, enable_rag=False, enable_streaming=True),
            VoiceRequest(audio_ref="audio/question", enable_rag=False),
        ):
            assert (await caller.ask(request)).answer.error == ""
        old = VoiceRequest(audio=recording, enable_rag=False)
        assert (await caller.ask(old, subject=VOICE_REQUEST_LEGACY)).answer.error == ""
        assert (await caller.put(VoiceRequest(audio=recording, enable_rag=False))).answer.error == ""
        asked = await caller.begin(VoiceRequest(audio=recording, enable_rag=False))
        await caller.cancel(asked.request_id)
        await asked.heard()
        # Too large for a message, so that the command puts it into the object store.
        (tmp_path / "long.wav").write_bytes(wav_file(bytes(9_000_000), 16_000))
        assert "Heard: What is NATS?" in await fleet("voice", "long.wav", "--no-rag", "--no-play")
        assert "voice-assistant" in await names(await log_in(server, "operator"))
        assert await service.terminate() == 0
    assert server.violations == []


async def test_the_tts_module(server: GuardedServer, log_in: LogIn, models: dict[str, str], fleet: Fleet) -> None:
    async with process(server, "tts-module", **models) as service:
        caller = TtsCaller(await log_in(server, CLIENT))
        assert (await caller.say("Hello there.")).said[-1] == "completed"
        for subject in (TTS_VOICES_LIST, TTS_VOICES_REFRESH):
            assert (await caller.request(subject.template)).data
        await caller.cancel(await caller.hear())
        assert "Saved" in await fleet("say", "Hello there.", "-o", "hello.wav", "--no-play")
        assert "anna" in await fleet("say", "--voices")
        assert "tts-module" in await names(await log_in(server, "operator"))
        assert await service.terminate() == 0
    assert server.violations == []


def sound(seconds: float, level: int) -> bytes:
    """Return what a detector by loudness takes for speech, or for a quiet room."""
    samples = (int(level * math.sin(at * 0.09) * (1 + math.sin(at * 0.002)) / 2) for at in range(int(seconds * RATE)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


async def test_the_stt_module_and_its_replicas(
    server: GuardedServer, log_in: LogIn, models: dict[str, str], fleet: Fleet, tmp_path: Path
) -> None:
    async with (
        process(server, "stt-module", **models, VAD="energy") as one,
        process(server, "stt-module", **models, VAD="energy") as other,
    ):
        caller = SttCaller(await log_in(server, CLIENT))
        heard = await caller.say(sound(0.5, 30) + sound(1.0, 12_000) + sound(0.8, 30))
        assert [final.transcript for final in heard.finals] == ["What is NATS?"]
        (tmp_path / "said.wav").write_bytes(wav_file(sound(0.3, 30) + sound(0.7, 12_000) + sound(0.8, 30), RATE))
        assert "What is NATS?" in await fleet("listen", "said.wav")
        assert "stt-module" in await names(await log_in(server, "operator"))
        # What one of them had begun, the other goes on with.
        session = await caller.hear("handed-over")
        await caller.send(session, "start")
        await caller.speak(session, sound(0.5, 12_000))
        assert await one.terminate() == 0
        await caller.speak(session, sound(0.5, 12_000) + sound(0.8, 30), first=6)
        await caller.send(session, "end")
        await session.ended()
        assert await other.terminate() == 0
    assert server.violations == []


async def test_a_live_conversation_between_two_replicas(server: GuardedServer, log_in: LogIn) -> None:
    async with FakeLLM() as llm, FakeTTS() as tts:
        tts.script.sample_rate = 8000
        tts.script.sound = lambda _: [b"\x01\x00" * 16_000]
        # One question at a time, so that the turns of a session come to both.
        settings = {"VLLM_URL": llm.url, "TTS_URL": tts.url, "MAX_CONCURRENCY": "1"}
        async with (
            process(server, "voice-assistant", **settings) as one,
            process(server, "voice-assistant", **settings) as other,
        ):
            session = await LiveCaller(await log_in(server, "operator")).open("live")
            await session.say("When is the lamp lit?")
            await session.until(lambda heard: heard.chunks)
            # While the first answer sounds: the other replica asks for the floor.
            await session.say("And when does it go out?")
            await session.until(lambda heard: "cancelled" in heard.statuses or len(heard.answers) > 1)
            await session.interrupt()
            await session.cancel()
            assert await one.terminate() == await other.terminate() == 0
    assert server.violations == []


async def test_the_pipeline_bridge(server: GuardedServer, log_in: LogIn, fleet: Fleet) -> None:
    nowhere = {"PIPELINE_ENGINE": "configured", "ARGO_HOST": "http://127.0.0.1:1", "SUBMIT_TIMEOUT": "0.2"}
    async with process(server, "pipeline-bridge", **nowhere) as service:
        client = await log_in(server, CLIENT)
        told: asyncio.Queue[Msg] = asyncio.Queue()
        await client.subscribe(PIPELINE_STATUS.format(request_id="run-1"), told.put_nowait)
        await client.flush()
        parameters = {"source-url": "https://example.org/"}
        trigger = PipelineTrigger(request_id="run-1", pipeline="document-ingestion", parameters=parameters)
        inbox = client.new_inbox()
        await client.subscribe(inbox, told.put_nowait)
        await client.publish(PIPELINE_TRIGGER.template, encode(trigger), reply=inbox)
        statuses: list[str] = []
        while not {"failed", "error"} & set(statuses):
            msg = await asyncio.wait_for(told.get(), WAIT)
            if "Message-Type" in (msg.headers or {}):
                statuses.append(decode(PipelineStatus, msg.data, Encoding.MSGPACK).status)
        assert "submitted" in statuses
        assert "document-ingestion" in await fleet("pipelines")
        assert "run-1" in await fleet("runs")
        await fleet("trigger", "document-ingestion", "-p", "source-url=https://example.org/", "--request-id", "run-2")
        await client.publish(PIPELINE_CANCEL.format(request_id="run-1"))
        assert "pipeline-bridge" in await names(await log_in(server, "operator"))
        assert await service.terminate() == 0
    assert server.violations == []


def test_every_service_does_its_work_here() -> None:
    built = {name for name, service in SERVICES.items() if service.handler is not None}
    tried = set(re.findall(r'process\(server, "([a-z-]+)"', Path(__file__).read_text(encoding="utf-8")))
    assert built <= tried
