"""Forgetting a user leaves nothing of them, and everything of their neighbours."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis.asyncio as redis
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.messages import (
    ChatRequest,
    ChatStreamChunk,
    DomainEvent,
    Encoding,
    GreetingResponse,
    LoginEvent,
    Message,
    STTTranscription,
    VoiceRequest,
    VoiceResponse,
    VoiceStreamChunk,
    encode,
)
from handler_base.messages.streams import STREAMS
from handler_base.nats_client import ConnectionOptions, JetStreamApi, NatsConnection, StreamManager, StreamReader
from handler_base.sessions._traces import names_user
from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage
from handler_base.sessions.forgetting import Forgotten, forget_user
from handler_base.sessions.records import Preferences, Turn
from handler_base.sessions.store import SessionStore
from handler_base.testing.nats_server import NatsServer, free_port
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

USER = "quokka-7"
WORDS = "zebrafinch"
NEIGHBOURS = ("quokka-77", "quokka", "xquokka-7")
OTHER_WORDS = "tamarillo"
TRACES = re.compile(rb"zebrafinch|(?<!x)quokka-7(?!7)")


@dataclass(frozen=True)
class House:
    """All stores, as a fleet has them."""

    nats: NatsServer
    connection: NatsConnection
    redis: RedisServer
    store: SessionStore
    database: Path
    archive: Archive
    folder: Path

    async def forget(self, user: str = USER) -> Forgotten:
        return await forget_user(user, store=self.store, archive=self.archive, connection=self.connection)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "redis").mkdir()
    server = NatsServer(store=tmp_path / "nats")
    await server.start_async()
    connection = NatsConnection(ConnectionOptions(servers=(server.url,)))
    database = tmp_path / "archive.db"
    archive = Archive(f"sqlite:///{database}")
    async with RedisServer(tmp_path / "redis") as valkey:
        store = new_store(valkey.url)
        try:
            await connection.connect(timeout=timedelta(seconds=10))
            await StreamManager(connection).ensure(STREAMS)
            await archive.open()
            await store.open()
            yield House(server, connection, valkey, store, database, archive, tmp_path)
        finally:
            await store.close()
            await archive.close()
            await connection.close()
            server.close()


def new_store(url: str) -> SessionStore:
    return SessionStore(url, ttl=timedelta(days=7), most_turns=10, timeout=timedelta(seconds=2))


async def fill(house: House, user: str, words: str) -> None:
    """Give a user something in every store, in both encodings, with words in all that can hold some."""
    for encoding in Encoding:
        await fill_streams(house, user, words, encoding)
    await bury(house, b"\xff\xfe" + words.encode(), f"ai.chat.user.{user}.message")
    event = encode(DomainEvent(name="message_received", user_id=user, data={"text": words}))
    await bury(house, event[:-3], "ai.chat.event.message_received")
    await house.connection.jetstream_publish("ai.chat.event.odd", b"\xc1" + words.encode(), message_id=f"{user}/r/odd")
    await fill_store(house.store, user, words)
    await fill_archive(house.archive, user, words)


async def fill_streams(house: House, user: str, words: str, encoding: Encoding) -> None:
    mark = f"{user}-{encoding.name.lower()}"
    request, live, session = f"r-{mark}", f"live-{mark}", f"s-{mark}"
    chat = ChatRequest(request_id=request, user_id=user, message=words, session_id=session)
    event = DomainEvent(name="message_received", user_id=user, request_id=request, session_id=session)
    event.data = {"text": words, "username": words, "premium": False}
    anonymous = DomainEvent(name="transcription_completed", session_id=live, data={"text": words})
    speech = VoiceRequest(request_id=f"v-{mark}", user_id=user, session_id=live, audio=words.encode())
    heard = STTTranscription(session_id=live, transcript=words)
    said: list[tuple[str, Message]] = [
        (f"ai.chat.user.{user}.login", LoginEvent(user_id=user, username=words)),
        (f"ai.chat.user.{user}.message", chat),
        (f"ai.chat.user.{user}.greeting.response", GreetingResponse(user_id=user, greeting=words)),
        (f"ai.voice.user.{user}.request", speech),
        (f"ai.voice.response.v-{mark}", VoiceResponse(request_id=f"v-{mark}", response=words)),
        (f"ai.voice.response.{request}", VoiceResponse(request_id=request, response=words)),
        (f"ai.voice.response.stream.v-{mark}", VoiceStreamChunk(request_id=f"v-{mark}", content=words)),
        (f"ai.voice.transcription.{live}", heard),
        (f"ai.voice.transcription.own-{mark}", STTTranscription(transcript=words, speaker_id=user)),
        (f"ai.chat.response.stream.{request}", ChatStreamChunk(request_id=request, content=words)),
        (f"ai.chat.response.stream.{request}", ChatStreamChunk(request_id=request, content=words, sequence=1)),
        ("ai.chat.event.message_received", event),
        ("ai.voice.event.transcription_completed", anonymous),
        (f"ai.voice.response.{live}", VoiceResponse(request_id="live-1-0", response=words)),
        (f"ai.voice.response.stream.{live}", VoiceStreamChunk(request_id="live-1-0", content=words)),
    ]
    for subject, message in said:
        fields = {"Content-Type": encoding.value, "Message-Type": message.schema_name}
        await house.connection.jetstream_publish(subject, encode(message, encoding), headers=fields)
    for subject, message in (said[1], said[3], said[4], said[11], said[12]):
        await bury(house, encode(message, encoding), subject)


async def bury(house: House, payload: bytes, subject: str) -> None:
    fields = {
        "Dead-Letter-Reason": "internal",
        "Dead-Letter-Attempts": "3",
        "Dead-Letter-Subject": subject,
        "Dead-Letter-Stream": "S",
        "Dead-Letter-Consumer": "probe",
        "Dead-Letter-Sequence": "7",
        "Dead-Letter-Published": "2025-01-02T03:04:05+00:00",
    }
    await house.connection.jetstream_publish("ai.dlq.S.probe", payload, headers=fields)


async def fill_store(store: SessionStore, user: str, words: str) -> None:
    session = f"s-{user}"
    await store.open_session(user, session, username=words, premium=True, kind="chat")
    store.finish(user, session, Turn.of(words, words, f"r-{user}"), tokens=7)
    await store.save_title(user, session, words)
    await store.set_preferences(user, Preferences(voice=words))
    assert len(await store.sessions(user)) == 1


async def fill_archive(archive: Archive, user: str, words: str) -> None:
    now = datetime.now(UTC)
    request, session = f"r-{user}", f"s-{user}"
    await archive.store(
        [
            ChatMessage(f"{user}/1", user, session, "user", words, request, 1, now, "chat", username=words),
            ChatMessage(f"{user}/2", user, session, "assistant", words, request, 2, now, "chat", model="m"),
        ]
    )
    await archive.set_title(user, session, words)


async def in_streams(house: House) -> dict[str, list[tuple[str, bytes]]]:
    """Return all messages of all streams: a name, and everything that is in them."""
    held = {}
    for stream in STREAMS:
        reader = StreamReader(house.connection, stream.name)
        held[stream.name] = [
            (f"{stream.name} {one.sequence}", f"{one.subject} {one.headers}".encode() + one.data)
            async for one in reader.read()
        ]
    return held


async def in_valkey(house: House) -> dict[bytes, object]:
    read = {"string": "get", "hash": "hgetall", "list": "lrange", "zset": "zrange", "set": "smembers"}
    client = redis.Redis.from_url(house.redis.url)
    held = {}
    try:
        async for key in client.scan_iter("*"):
            kind = await client.type(key)
            kind = kind.decode() if isinstance(kind, bytes) else kind
            bounds = (0, -1) if kind in {"list", "zset"} else ()
            held[key] = await getattr(client, read[kind])(key, *bounds)
    finally:
        await client.aclose()
    return held


def in_database(house: House) -> list[str]:
    """Return every row of every table, written out."""
    with closing(sqlite3.connect(house.database)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [f"{table} {row}" for table in tables for row in database.execute(f'SELECT * FROM "{table}"')]  # noqa: S608 - names of its own tables


def on_disk(folder: Path) -> list[str]:
    """Return the files with traces of the user in them."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and TRACES.search(path.read_bytes())]


def traces(pieces: object) -> list[bytes]:
    return TRACES.findall(repr(pieces).encode())


async def test_nothing_is_left(house: House) -> None:
    for neighbour in NEIGHBOURS:
        await fill(house, neighbour, OTHER_WORDS)
    before = await in_streams(house), await in_valkey(house), in_database(house)
    assert traces(before) == []
    await fill(house, USER, WORDS)
    for held in (await in_streams(house)).values():
        assert (TRACES.search(repr(held).encode()) is None) == all("AI_PIPELINE" in name for name, _ in held)
    assert traces(await in_valkey(house))
    assert traces(in_database(house))
    assert on_disk(house.folder)

    forgotten = await house.forget()

    assert forgotten.troubles == {}
    assert await in_streams(house) == before[0]
    assert await in_valkey(house) == before[1]
    assert traces(in_database(house)) == []
    assert [row for row in in_database(house) if not row.startswith("forgotten_users")] == before[2]
    assert forgotten.streams == {
        "COMPANIONS_LOGINS": 2,
        "COMPANIONS_CHAT": 4,
        "AI_CHAT_STREAM": 4,
        "AI_VOICE_STREAM": 16,
        "AI_EVENTS": 5,
        "AI_DEAD_LETTER": 12,
    }
    assert forgotten.archived == 2
    assert forgotten.keys >= 5
    assert on_disk(house.folder) == []
    house.nats.stop()
    assert on_disk(house.folder) == []


async def test_forgetting_again_finds_nothing(house: House) -> None:
    await fill(house, USER, WORDS)
    await house.forget()
    again = await house.forget()
    assert (again.archived, again.keys, again.troubles) == (0, 0, {})
    assert not any(again.streams.values())
    stranger = await house.forget("nobody")
    assert (stranger.archived, stranger.keys, stranger.troubles) == (0, 0, {})


async def test_the_archive_tells_what_the_streams_no_longer_do(house: House) -> None:
    await fill_archive(house.archive, USER, WORDS)
    chunk = encode(ChatStreamChunk(content=WORDS))
    await house.connection.jetstream_publish(f"ai.chat.response.stream.r-{USER}", chunk)
    heard = encode(STTTranscription(transcript=WORDS))
    await house.connection.jetstream_publish(f"ai.voice.transcription.s-{USER}", heard)
    await house.forget()
    assert traces(await in_streams(house)) == []


async def test_what_the_archive_tells_meanwhile_goes_too(house: House) -> None:
    class Telling(Archive):
        """Stores a message, and tells of it, after the streams were read."""

        async def forget(self, user_id: str, at: datetime) -> int:
            told = DomainEvent(name="message_stored", user_id=user_id, session_id="s")
            await house.connection.jetstream_publish("ai.chat.event.message_stored", encode(told))
            return await super().forget(user_id, at)

    archive = Telling(str(house.database))
    await archive.open()
    try:
        forgotten = await forget_user(USER, store=None, archive=archive, connection=house.connection)
    finally:
        await archive.close()
    assert forgotten.streams == {"AI_EVENTS": 1}
    assert traces(await in_streams(house)) == []


async def test_a_store_that_is_away_is_told_of_and_done_the_next_time(house: House) -> None:
    await fill(house, USER, WORDS)
    house.redis.kill()
    forgotten = await house.forget()
    assert list(forgotten.troubles) == ["Valkey"]
    assert forgotten.keys == 0
    assert traces(await in_streams(house)) == []
    assert traces(in_database(house)) == []

    await house.redis.start()
    await fill_store(new_store(house.redis.url), USER, WORDS)
    await wait_until(lambda: house.store.available)
    again = await house.forget()
    assert again.troubles == {}
    assert await in_valkey(house) == {}


async def test_streams_that_are_away_are_done_the_next_time(house: House) -> None:
    await fill(house, USER, WORDS)
    house.nats.kill()
    await wait_until(lambda: not house.connection.is_connected)
    forgotten = await house.forget()
    assert list(forgotten.troubles) == ["JetStream"]
    assert (forgotten.archived, await in_valkey(house)) == (2, {})

    await house.nats.start_async()
    await wait_until(lambda: house.connection.is_connected, timeout=10)
    # What is kept in memory went with the server.
    await StreamManager(house.connection).ensure(STREAMS)
    again = await house.forget()
    assert again.troubles == {}
    assert {name for name, count in again.streams.items() if count} == {
        *("COMPANIONS_LOGINS", "COMPANIONS_CHAT", "AI_VOICE_STREAM", "AI_EVENTS", "AI_DEAD_LETTER")
    }
    assert traces(await in_streams(house)) == []


async def test_an_archive_that_is_away(house: House) -> None:
    await fill(house, USER, WORDS)
    away = Archive(f"postgresql://127.0.0.1:{free_port()}/archive")
    forgotten = await forget_user(USER, store=house.store, archive=away, connection=house.connection)
    assert list(forgotten.troubles) == ["archive"]
    assert traces([await in_streams(house), await in_valkey(house)]) == []


async def test_a_stream_that_refuses_is_told_of(house: House) -> None:
    await fill(house, USER, WORDS)
    api = JetStreamApi(house.connection)
    info = await api.stream_info("COMPANIONS_LOGINS")
    locked = {**info.config, "deny_delete": True, "name": "LOCKED"}  # type: ignore[union-attr]  # an error has none
    await house.connection.request("$JS.API.STREAM.DELETE.COMPANIONS_LOGINS", b"", timeout=timedelta(seconds=5))
    await api.create_stream({**locked, "name": "COMPANIONS_LOGINS"})
    await house.connection.jetstream_publish(f"ai.chat.user.{USER}.login", encode(LoginEvent(user_id=USER)))
    forgotten = await house.forget()
    assert forgotten.troubles["JetStream"].startswith("Messages of stream COMPANIONS_LOGINS cannot be deleted")
    assert (forgotten.archived, await in_valkey(house)) == (2, {})


async def test_there_may_be_no_stores_and_no_streams() -> None:
    assert await forget_user(USER, store=None, archive=None, connection=None) == Forgotten()
    server = NatsServer()
    await server.start_async()
    connection = NatsConnection(ConnectionOptions(servers=(server.url,)))
    try:
        await connection.connect(timeout=timedelta(seconds=10))
        assert await forget_user(USER, store=None, archive=None, connection=connection) == Forgotten()
    finally:
        await connection.close()
        server.close()


@pytest.mark.parametrize("user", ["", "*", "ann.>", "a b"])
async def test_what_is_no_user_id_is_refused(user: str) -> None:
    with pytest.raises(InvalidRequestError):
        await forget_user(user, store=None, archive=None, connection=None)


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True), st.sampled_from("xX0_-9"), st.sampled_from(list(Encoding))
)
def test_an_id_is_found_in_what_cannot_be_read(user: str, more: str, encoding: Encoding) -> None:
    body = encode(DomainEvent(name="!", user_id=user, data={"text": f"tell {user} and {more}{user}"}), encoding)
    assert names_user(user, None, body)
    assert names_user(user, None, f'{{"user_id":"{user}"'.encode())
    longer = encode(DomainEvent(name="!", user_id=f"{user}{more}"), encoding)
    assert not names_user(f"{user}{more}{more}", None, longer)
    assert not names_user(user, None, encode(DomainEvent(name="!", user_id=f"!{user}"), encoding))
