"""`fleet forget`."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handler_base.messages import ChatRequest, DomainEvent, encode
from handler_base.messages.streams import STREAMS
from handler_base.nats_client import NatsConnection, StreamManager, StreamReader
from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage
from handler_base.sessions.records import Preferences
from handler_base.sessions.store import SessionStore
from handler_base.testing.nats_server import NatsServer, free_port
from handler_base.testing.redis_server import RedisServer

from .conftest import Fleet


@dataclass(frozen=True)
class House:
    """The stores, each with something of ann and of anna."""

    client: NatsConnection
    archive: Archive
    store: SessionStore
    redis: RedisServer

    async def left(self, user: str) -> tuple[int, int, int]:
        """Return how many events, archived conversations and sessions there are of a user."""
        events = [one async for one in StreamReader(self.client, "AI_EVENTS").read()]
        mine = sum((one.headers or {})["Nats-Msg-Id"].startswith(f"{user}/") for one in events)
        return mine, len(await self.archive.conversations(user_id=user)), len(await self.store.sessions(user))


@pytest.fixture
async def house(
    client: NatsConnection, fleet: Fleet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    del fleet
    archive = Archive(f"{folder}/archive.db")
    monkeypatch.setenv("ARCHIVE_URL", f"sqlite:///{folder}/archive.db")
    await archive.open()
    await StreamManager(client).ensure(STREAMS)
    async with RedisServer(folder) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        store = SessionStore(server.url, ttl=timedelta(days=7), most_turns=10, timeout=timedelta(seconds=2))
        await store.open()
        house = House(client, archive, store, server)
        for user in ("ann", "anna"):
            await fill(house, user)
        yield house
        await store.close()
    await archive.close()


async def fill(house: House, user: str) -> None:
    question = ChatRequest(request_id=f"r-{user}", message="hi")
    await house.client.jetstream_publish(f"ai.chat.user.{user}.message", encode(question))
    event = DomainEvent(name="message_received", user_id=user, request_id=f"r-{user}")
    name = f"{user}/r-{user}/message_received"
    await house.client.jetstream_publish("ai.chat.event.message_received", encode(event), message_id=name)
    now = datetime.now(UTC)
    await house.archive.store([ChatMessage(name, user, "s-1", "user", "hi", f"r-{user}", 1, now, "chat")])
    await house.store.open_session(user, "s-1", username="", premium=False, kind="chat", login=False)
    await house.store.set_preferences(user, Preferences(language="de"))


async def test_a_user_is_removed_everywhere(fleet: Fleet, house: House) -> None:
    run = await fleet("forget", "ann", "--yes")
    assert (run.code, run.err) == (0, "")
    streams, archive, valkey = run.out.splitlines()
    assert streams == "JetStream  2 messages removed (COMPANIONS_CHAT 1, AI_EVENTS 1)"
    assert archive == "archive    1 message removed"
    assert valkey.startswith("Valkey     3 keys removed")
    assert await house.left("ann") == (0, 0, 0)
    assert await house.left("anna") == (1, 1, 1)
    again = await fleet("forget", "ann", "--yes")
    assert again.code == 0
    assert again.out.splitlines() == [
        "JetStream  0 messages removed",
        "archive    0 messages removed",
        "Valkey     0 keys removed",
    ]


async def test_without_a_terminal_it_wants_to_be_sure(fleet: Fleet, house: House) -> None:
    run = await fleet("forget", "ann", stdin="y\n")
    assert run.code == 2
    assert run.err == "fleet: There is no terminal to ask on; --yes removes without asking.\n"
    assert await house.left("ann") == (1, 1, 1)
    assert (await fleet("forget", "a b", "--yes")).code == 2


@pytest.mark.parametrize(("answer", "left"), [("n", (1, 1, 1)), ("y", (0, 0, 0))])
async def test_a_terminal_is_asked(
    house: House, own_nats: NatsServer, folder: Path, answer: str, left: tuple[int, int, int]
) -> None:
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "handler_base.cli", "--nats-url", own_nats.url, "forget", "ann"),
        stdin=follower,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    os.close(follower)
    os.write(leader, f"{answer}\n".encode())
    out, err = await asyncio.wait_for(process.communicate(), 20)
    os.close(leader)
    assert process.returncode == (0 if answer == "y" else 1), err
    assert b"It cannot be brought back." in out
    assert await house.left("ann") == left


async def test_what_is_away_is_told_of_and_the_rest_done(
    fleet: Fleet, house: House, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    run = await fleet("--nats-url", nowhere, "forget", "ann", "--yes")
    assert run.code == 1
    assert run.out.splitlines()[0] == "archive    1 message removed"
    assert run.err.splitlines() == [
        f"fleet: JetStream: NATS cannot be reached at {nowhere}, or refuses; nothing was removed there.",
        "fleet: ann is not forgotten everywhere; run `fleet forget ann` again.",
    ]
    assert await house.left("ann") == (1, 0, 0)

    monkeypatch.setenv("ARCHIVE_URL", f"sqlite:///{folder}/elsewhere.db")
    house.redis.kill()
    run = await fleet("forget", "ann", "--yes")
    assert run.code == 1
    assert [line.split(":")[1].strip() for line in run.err.splitlines()[:2]] == ["archive", "Valkey"]
    assert run.out == "JetStream  2 messages removed (COMPANIONS_CHAT 1, AI_EVENTS 1)\n"
    assert not (folder / "elsewhere.db").exists()

    monkeypatch.setenv("ARCHIVE_URL", f"sqlite:///{folder}/archive.db")
    await house.redis.start()
    assert (await fleet("forget", "ann", "--yes")).code == 0


async def test_a_fleet_without_archive_and_memory(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_MODE", "off")
    monkeypatch.setenv("REDIS_URL", "none")
    run = await fleet("forget", "ann", "--yes")
    assert (run.code, run.out) == (0, "JetStream  0 messages removed\n")
