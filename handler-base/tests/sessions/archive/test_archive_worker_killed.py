"""An archive that is killed again and again while messages flow stores each of them once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]
import pytest

from handler_base.messages import DomainEvent, decode, encode
from handler_base.messages.streams import AI_DEAD_LETTER, AI_EVENTS
from handler_base.messages.subjects import CHAT_EVENT
from handler_base.nats_client import (
    ApiError,
    ConnectionOptions,
    DeadLetters,
    JetStreamApi,
    NatsConnection,
    StreamManager,
    StreamReader,
)
from handler_base.sessions.archive import Archive
from handler_base.sessions.archive.worker import DURABLE
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

CONVERSATIONS: Final = 250
COPIED: Final = 0.05
AHEAD: Final = 500
"""Events that are published ahead of those that are archived: the flow goes on while the archive is killed."""

STORED: Final = CHAT_EVENT.format(name="message_stored")


CountRows = Callable[[], Awaitable[int]]


@asynccontextmanager
async def row_counter(archive_url: str) -> AsyncIterator[CountRows]:
    """Counts the messages in the database itself."""
    if archive_url.startswith("postgres"):
        connected = await asyncpg.connect(archive_url)

        async def count_postgres() -> int:
            return int(await connected.fetchval("SELECT count(*) FROM messages"))

        yield count_postgres
        await connected.close()
        return
    with closing(sqlite3.connect(archive_url.removeprefix("sqlite:///"))) as opened:

        async def count_sqlite() -> int:
            return int(opened.execute("SELECT count(*) FROM messages").fetchone()[0])

        yield count_sqlite


class Child:
    """Processes that archive, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout
        self._pid = 0

    @classmethod
    @asynccontextmanager
    async def ready(cls, nats_url: str, archive_url: str) -> AsyncIterator[Child]:
        environment = {
            "PATH": os.environ["PATH"],
            "NATS_URL": nats_url,
            "ARCHIVE_URL": archive_url,
            "ARCHIVE_BATCH": "50",
            "ARCHIVE_FLUSH": "0.01",
            "ACK_WAIT": "0.5",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("archive_child.py")),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        yield cls(process)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()

    async def begin(self) -> None:
        self._orders.write(b"begin\n")
        self._pid = int(await self._answers.readline())

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and return what it ended with."""
        os.kill(self._pid, number)
        return int(await self._answers.readline())


class Flow:
    """Publishes the events of many conversations at once, and watches how far they are archived.

    Args:
        connection: Where to.
        messages: In each conversation.
    """

    def __init__(self, connection: NatsConnection, messages: int) -> None:
        self._connection = connection
        self.events = [_event(turn, number) for turn in range(messages) for number in range(CONVERSATIONS)]
        self.told: set[str] = set()

    async def watch(self) -> None:
        def note(data: bytes) -> None:
            self.told.add(str(decode(DomainEvent, data).data["message_id"]))

        await self._connection.subscribe(STORED, lambda msg: note(msg.data))
        await self._connection.flush()

    async def publish(self) -> None:
        """Publish all in order, some of them a second time later on, as one that the stream does not know again."""
        chance = random.Random(20)
        copies: dict[int, list[tuple[str, DomainEvent]]] = {}
        for number, (subject, event) in enumerate(self.events):
            if number % 50 == 0:
                await wait_until(lambda number=number: number - len(self.told) < AHEAD, timeout=20)
            await self._put(subject, event, event.id)
            if chance.random() < COPIED:
                copies.setdefault(number + chance.randint(1, 400), []).append((subject, event))
            for again in copies.pop(number, ()):
                await self._put(*again, f"{again[1].id}/again")
        for late in copies.values():
            for again in late:
                await self._put(*again, f"{again[1].id}/again")

    async def _put(self, subject: str, event: DomainEvent, message_id: str) -> None:
        await self._connection.publish(subject, encode(event), headers={"Nats-Msg-Id": message_id})


def _event(turn: int, number: int) -> tuple[str, DomainEvent]:
    name = "response_generated" if turn % 2 else "message_received"
    user, request = f"user{number % 50}", f"r{number}-{turn // 2}"
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return CHAT_EVENT.format(name=name), DomainEvent(
        id=f"{user}/{request}/{name}",
        name=name,
        occurred_at=moment,
        user_id=user,
        session_id=f"s{number}",
        request_id=request,
        data={"text": f"{turn} of {number}"},
    )


class Killer:
    """Kills a process that archives again and again, each time at another kind of moment.

    Args:
        connection: To look at the consumer.
        rows: Counts the rows.
        flow: How much was told of.
        child: What is killed.
    """

    def __init__(self, connection: NatsConnection, rows: CountRows, flow: Flow, child: Child) -> None:
        self._api = JetStreamApi(connection)
        self._rows = rows
        self._flow = flow
        self._child = child
        self.kills = 0

    async def run(self, kills: int) -> None:
        """Return with one that lives on."""
        moments = (self._telling, self._committed, self._delivered)
        for number in range(1, kills + 1):
            await self._child.begin()
            await moments[number % 3](number * len(self._flow.events) // (kills + 1))
            assert await self._child.end(signal.SIGKILL) == -signal.SIGKILL
            self.kills += 1
        await self._child.begin()

    async def _telling(self, done: int) -> None:
        await wait_until(lambda: len(self._flow.told) >= done, timeout=20, every=0.001)

    async def _committed(self, done: int) -> None:
        async def committed() -> bool:
            return await self._rows() >= done

        await wait_until(committed, timeout=20, every=0.001)

    async def _delivered(self, done: int) -> None:
        await self._telling(done)
        before = await self._delivered_so_far()

        async def more() -> bool:
            return await self._delivered_so_far() > before

        await wait_until(more, timeout=20, every=0.001)

    async def _delivered_so_far(self) -> int:
        found = await self._api.consumer_info(AI_EVENTS.name, DURABLE)
        assert not isinstance(found, ApiError)
        return found.delivered.consumer_seq


@pytest.fixture
async def connection(nats: NatsServer) -> AsyncIterator[NatsConnection]:
    opened = NatsConnection(ConnectionOptions(servers=(nats.url,), name="test"))
    await opened.connect()
    yield opened
    await opened.close()


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.faults)])
async def test_killed_again_and_again_it_stores_each_message_once(
    nats: NatsServer, connection: NatsConnection, archive: Archive, archive_url: str, kills: int
) -> None:
    assert await StreamManager(connection).ensure((AI_EVENTS, AI_DEAD_LETTER)) == ()
    flow = Flow(connection, messages=kills)  # so that as much flows before each of them
    everything = len(flow.events)
    await flow.watch()
    async with row_counter(archive_url) as rows, Child.ready(nats.url, archive_url) as child:
        killer = Killer(connection, rows, flow, child)
        await asyncio.gather(killer.run(kills), flow.publish())
        await wait_until(lambda: len(flow.told) == everything, timeout=20)
        await wait_until(partial(_finished, connection), timeout=20, every=0.02)
        assert await child.end(signal.SIGTERM) == 0
        assert killer.kills == kills
        assert await rows() == everything
    await _each_is_there_once_and_in_order(archive, flow)
    told = Counter([message_id async for message_id in _told_of(connection)])
    assert (len(told), set(told.values())) == (everything, {1})
    assert set(told) == {event.id for _, event in flow.events}
    assert [letter async for letter in DeadLetters(connection).records()] == []


async def _finished(connection: NatsConnection) -> bool:
    found = await JetStreamApi(connection).consumer_info(AI_EVENTS.name, DURABLE)
    return not isinstance(found, ApiError) and found.num_pending == found.num_ack_pending == 0


async def _each_is_there_once_and_in_order(archive: Archive, flow: Flow) -> None:
    said: dict[tuple[str, str], list[str]] = {}
    for _, event in flow.events:
        said.setdefault((event.user_id, event.session_id), []).append(event.id)
    assert len(said) == CONVERSATIONS
    for conversation, ids in said.items():
        assert [message.id for message in await archive.messages(*conversation)] == ids


async def _told_of(connection: NatsConnection) -> AsyncIterator[str]:
    async for message in StreamReader(connection, AI_EVENTS.name, subjects=(STORED,)).read():
        event = decode(DomainEvent, message.data)
        assert event.id == f"{event.data['message_id']}/stored"
        yield str(event.data["message_id"])
