"""The link brings each command its own reply, or none in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from handler_base.sessions.valkey import LinkDownError, RefusedError, ValkeyLink, pack
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.waiting import wait_until

from .conftest import Serve, peer


@asynccontextmanager
async def linked(
    url: str, *, timeout: float = 2, prepare: tuple[tuple[str, ...], ...] = ()
) -> AsyncIterator[ValkeyLink]:
    link = ValkeyLink(url, timeout=timedelta(seconds=timeout), prepare=prepare)
    yield link
    await link.close()


def at(port: int) -> str:
    return f"redis://127.0.0.1:{port}"


def saying(*pieces: bytes) -> Serve:
    """Answer each connection's first command with these bytes, one write each, and say no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        await asyncio.Event().wait()

    return serve


async def outcome(link: ValkeyLink, *command: str) -> object:
    try:
        return await link.call(*command)
    except LinkDownError as error:
        return str(error)
    except RefusedError as error:
        return error.code


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["echo", "array", "refused", "nil", "number", "post", "pause", "cancel"]),
        st.integers(0, 40_000),
    ),
    max_size=40,
)


async def take(link: ValkeyLink, kind: str, size: int) -> None:
    """Send one command, and check that the reply is its own."""
    text = f"{size}:" + "x" * size
    if kind == "echo":
        assert await link.call("ECHO", text) == text.encode()
    elif kind == "array":
        assert await link.call("EVAL", "return {ARGV[1], {KEYS[1], 7}, false}", "1", "k", text) == [
            text.encode(),
            [b"k", 7],
            None,
        ]
    elif kind == "refused":
        with pytest.raises(RefusedError, match="ERR"):
            await link.call("NOSUCHCOMMAND", text)
    elif kind == "nil":
        assert await link.call("GET", f"none:{size}") is None
    elif kind == "number":
        assert await link.call("STRLEN", f"none:{size}") == 0
        assert await link.call("INCRBY", f"once:{size}:{id(text)}:{time.monotonic_ns()}", size) == size
    elif kind == "post":
        told: asyncio.Queue[object] = asyncio.Queue()
        link.post(told.put_nowait, pack("ECHO", text))
        assert await told.get() == text.encode()
    elif kind == "cancel":
        asked = asyncio.ensure_future(link.call("ECHO", "nobody's"))
        await asyncio.sleep(0)
        asked.cancel()
    else:
        await asyncio.sleep(0)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_each_of_many_at_once_gets_its_own_reply(server: RedisServer, steps: list[Step]) -> None:
    async with linked(server.url) as link:
        await asyncio.gather(*(take(link, kind, size) for kind, size in steps))
        for kind, size in steps[:5]:
            await take(link, kind, size)


async def test_uvloop_does_as_well(server: RedisServer) -> None:
    async def scenario() -> None:
        async with linked(server.url) as link:
            kinds = ("echo", "array", "refused", "nil", "post", "cancel", "pause")
            await asyncio.gather(*(take(link, kind, size) for kind in kinds for size in (0, 10, 1000, 200_000)))

    await asyncio.to_thread(uvloop.run, scenario())


async def test_commands_of_one_turn_leave_in_one_write() -> None:
    reads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            reads.append(data)
            writer.write(b"+OK\r\n" * data.count(b"PING"))

    async with peer(serve) as port, linked(at(port)) as link:
        await link.call("PING")
        await asyncio.gather(*(link.call("PING") for _ in range(200)))
        assert len(reads) == 2


@given(data=st.data())
@settings(max_examples=40, deadline=None)
async def test_replies_may_come_in_any_pieces(data: st.DataObject) -> None:
    replies = [b"+OK\r\n", b":12\r\n", b"$5\r\na\r\nbc\r\n", b"$-1\r\n", b"*2\r\n$0\r\n\r\n:1\r\n", b"-OOM full\r\n"]
    meant: list[object] = [b"OK", 12, b"a\r\nbc", None, [b"", 1], "OOM"]
    order = data.draw(st.lists(st.integers(0, len(replies) - 1), min_size=1, max_size=8))
    stream = b"".join(replies[number] for number in order)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    async with peer(saying(*pieces)) as port, linked(at(port)) as link:
        assert await asyncio.gather(*(outcome(link, "X") for _ in order)) == [meant[number] for number in order]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x01\x02",
        b"$-7\r\n",
        b"*99999999999\r\n",
        b":abc\r\n",
        b"+OK\r\n+uncalled\r\n",
    ],
)
async def test_garbage_closes_the_link(garbage: bytes) -> None:
    async with peer(saying(garbage)) as port, linked(at(port)) as link:
        said = await outcome(link, "X")
        assert said in {"garbled", b"OK"}
        await wait_until(lambda: not link.connected)
        if said == "garbled":
            assert not link.available
            assert await outcome(link, "X") == "paused"


async def test_a_reply_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler_base.sessions.wire._LONGEST_REPLY", 1 << 20)
    pieces = [b"*1000000\r\n", *[b"$1000\r\n" + b"x" * 1000 + b"\r\n"] * 2000]
    async with peer(saying(*pieces)) as port, linked(at(port)) as link:
        assert await outcome(link, "X") == "garbled"


async def test_a_silent_peer_costs_the_time_limit() -> None:
    async with peer(saying()) as port, linked(at(port), timeout=0.05) as link:
        with suppress(LinkDownError):  # on a busy machine connecting takes longer than a command may
            await link.open()
        await wait_until(lambda: link.connected)
        assert await asyncio.gather(*(outcome(link, "X") for _ in range(20))) == ["silent"] * 20
        assert await outcome(link, "X") == "paused"
        assert not link.connected


async def test_each_command_has_the_whole_time(server: RedisServer) -> None:
    async with linked(server.url, timeout=0.4) as link:
        began = time.monotonic()
        while time.monotonic() - began < 1:
            assert await link.call("EVAL", "local t = redis.call('TIME') return 1", "0") == 1
            await asyncio.sleep(0.01)  # commands one after the other, for longer than one may take
        assert link.connected


async def test_a_busy_loop_is_not_a_silent_store(server: RedisServer) -> None:
    async def scenario() -> None:
        async with linked(server.url, timeout=0.05) as link:
            await link.call("PING")
            asked = asyncio.ensure_future(link.call("ECHO", "x"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.1)  # noqa: ASYNC251 - holding the loop up is what this is about
            assert await asked == b"x"

    await scenario()
    await asyncio.to_thread(uvloop.run, scenario())


async def test_a_peer_that_hangs_up_is_noticed_by_all_who_wait() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"+OK\r\n")

    async with peer(serve) as port, linked(at(port)) as link:
        assert await asyncio.gather(*(outcome(link, "X") for _ in range(3))) == [b"OK", "lost", "lost"]
        assert not link.available


async def test_a_connection_closed_while_idle_is_made_again_at_once(server: RedisServer, redis: Redis) -> None:
    async with linked(server.url) as link:
        first = await link.call("CLIENT", "ID")
        await redis.client_kill_filter(_id=str(first))
        await wait_until(lambda: not link.connected)
        assert link.available
        assert await link.call("CLIENT", "ID") != first


async def test_one_connection_serves_all(server: RedisServer, redis: Redis) -> None:
    async with linked(server.url) as link:
        assert len(set(await asyncio.gather(*(link.call("CLIENT", "ID") for _ in range(100))))) == 1


async def test_it_connects_no_more_than_once_a_second_after_a_failure() -> None:
    connected: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(time.monotonic())

    async with peer(serve) as port, linked(at(port)) as link:
        while len(connected) < 3:
            await outcome(link, "X")
            await asyncio.sleep(0.005)  # far more often than once a second
    assert all(later - sooner > 0.95 for sooner, later in pairwise(connected))


async def test_too_many_commands_fail_at_once(server: RedisServer) -> None:
    async with linked(server.url) as link:
        await link.call("PING")
        said = await asyncio.gather(*(outcome(link, "PING") for _ in range(5000)))
        assert said.count("busy") == 5000 - 4096
        assert said.count(b"PONG") == 4096
        assert await link.call("PING") == b"PONG"


async def test_too_many_bytes_fail_at_once() -> None:
    async with peer(saying()) as port, linked(at(port)) as link:
        began = time.monotonic()
        assert set(await asyncio.gather(*(outcome(link, "SET", "x" * (1 << 20)) for _ in range(40)))) == {"busy"}
        assert time.monotonic() - began < 1


async def test_closing_waits_for_what_was_sent(server: RedisServer, redis: Redis) -> None:
    told: list[object] = []
    async with linked(server.url) as link:
        for number in range(100):
            link.post(told.append, pack("SET", f"k{number}", "x" * 10_000))
    assert told == [b"OK"] * 100
    assert await redis.dbsize() == 100
    assert await outcome(link, "PING") == "paused"


async def test_closing_a_silent_link_takes_no_longer_than_a_command() -> None:
    told: list[object] = []
    async with peer(saying(b"+OK\r\n")) as port:
        link = ValkeyLink(at(port), timeout=timedelta(seconds=0.2))
        await link.call("X")
        link.post(told.append, pack("X"))
        began = time.monotonic()
        await link.close()
        assert time.monotonic() - began < 0.4
    assert [str(error) for error in told] in (["closed"], ["silent"])


async def test_what_a_connection_begins_with_may_be_refused(server: RedisServer) -> None:
    async with linked(server.url, prepare=(("SET", "a", "1"), ("NOSUCHCOMMAND",), ("SET", "b", "2"))) as link:
        await link.open()
        assert await link.call("MGET", "a", "b") == [b"1", b"2"]


async def test_connecting_goes_on_for_those_who_come_later() -> None:
    """A far or slow server needs longer to connect to than a command may take."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await asyncio.sleep(0.2)  # four times as long as a command may take
        writer.write(b"+OK\r\n")
        await asyncio.Event().wait()

    async with peer(slowly) as port, linked(at(port), timeout=0.05, prepare=(("PREPARE",),)) as link:
        assert await outcome(link, "X") == "silent"
        assert await outcome(link, "X") == "paused"
        await wait_until(lambda: link.connected, timeout=1)
        assert link.available
