"""`fleet events`."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from handler_base.messages import DomainEvent, Encoding, encode
from handler_base.messages.streams import AI_EVENTS
from handler_base.nats_client import JetStreamApi, NatsConnection, StreamManager
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

from .conftest import Fleet, Spawn


async def tell(client: NatsConnection, name: str, domain: str = "chat", **fields: Any) -> int:  # noqa: ANN401 - of the event
    """Publish an event and return its sequence."""
    encoding = fields.pop("encoding", Encoding.MSGPACK)
    fields = {"user_id": "ann", "session_id": "s-1", "request_id": "r-1", "data": {}, **fields}
    event = DomainEvent(id=f"x/{name}", name=name, occurred_at="2025-01-02T03:04:05.678Z", **fields)
    return (await client.jetstream_publish(f"ai.{domain}.event.{name}", encode(event, encoding))).sequence


@pytest.fixture
async def stream(client: NatsConnection) -> None:
    await StreamManager(client).ensure((AI_EVENTS,))


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


async def test_an_event_is_a_line(fleet: Fleet, client: NatsConnection, stream: None) -> None:
    del stream
    data = {"text": "How long\n is a piece of string, \x1b[31mand why does it matter?", "premium": False, "model": None}
    await tell(client, "message_received", data=data)
    await tell(client, "tts_synthesis_started", "voice", user_id="", session_id="", encoding=Encoding.PROTOBUF)
    run = await fleet("events")
    assert run.code == 0, run.err
    assert run.out.splitlines() == [
        "2025-01-02 03:04:05  chat.message_received  ann  s-1  r-1  premium=False model= "
        "text=How long  is a piece of string, [31mand why does it matter?",
        "2025-01-02 03:04:05  voice.tts_synthesis_started  -  -  r-1",
    ]


async def test_json_is_an_object_a_line(fleet: Fleet, client: NatsConnection, stream: None) -> None:
    del stream
    sequence = await tell(client, "user_login", data={"username": "Ann", "premium": True})
    (row,) = rows((await fleet("events", "--json")).out)
    assert row == {
        "sequence": sequence,
        "time": "2025-01-02T03:04:05.678Z",
        "domain": "chat",
        "name": "user_login",
        "user_id": "ann",
        "session_id": "s-1",
        "request_id": "r-1",
        "data": {"username": "Ann", "premium": True},
    }


async def test_what_is_no_event_is_shown_as_such(fleet: Fleet, client: NatsConnection, stream: None) -> None:
    del stream
    await client.jetstream_publish("ai.chat.event.odd", b"\xff\x00")
    run = await fleet("events")
    assert run.code == 0
    assert "chat.odd  -  -  -  (cannot be read)" in run.out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--user", "ann"), [1, 3, 4]),
        (("--session", "s-2"), [2, 4]),
        (("--name", "user_login"), [1, 2]),
        (("--domain", "voice"), [3]),
        (("--domain", "chat", "--user", "ann", "--name", "user_login"), [1]),
        (("-n", "2"), [3, 4]),
        (("-n", "1", "--user", "bob"), [2]),
        (("--since", "1h"), [1, 2, 3, 4]),
        (("--since", "1h", "-n", "3"), [2, 3, 4]),
        (("--since", "999999999d"), [1, 2, 3, 4]),
        (("--since", "0s"), []),
        (("--user", "an"), []),
    ],
)
async def test_events_are_chosen(
    fleet: Fleet, client: NatsConnection, stream: None, options: tuple[str, ...], wanted: list[int]
) -> None:
    del stream
    await tell(client, "user_login")
    await tell(client, "user_login", user_id="bob", session_id="s-2")
    await tell(client, "request_received", "voice")
    await tell(client, "message_received", session_id="s-2")
    run = await fleet("events", "--json", *options)
    assert run.code == 0, run.err
    assert [row["sequence"] for row in rows(run.out)] == wanted


async def test_the_last_ones_are_found_far_back(fleet: Fleet, client: NatsConnection, stream: None) -> None:
    del stream
    first = await tell(client, "user_login")
    body = encode(DomainEvent(name="message_received", user_id="bob"))
    for _ in range(3000):
        await client.publish("ai.chat.event.message_received", body)
    last = await tell(client, "user_login")
    found = rows((await fleet("events", "--json", "--user", "ann")).out)
    assert [row["sequence"] for row in found] == [first, last]
    assert len(rows((await fleet("events", "--json")).out)) == 50
    assert len(rows((await fleet("events", "--json", "-n", "0")).out)) == 3002


async def test_nothing_is_left_behind(fleet: Fleet, client: NatsConnection, stream: None) -> None:
    del stream
    await tell(client, "user_login")
    await fleet("events")
    info = await JetStreamApi(client).stream_info(AI_EVENTS.name)
    assert info.state.consumer_count == 0  # type: ignore[union-attr]  # an error has no state, and fails here


async def test_there_are_no_events(fleet: Fleet) -> None:
    run = await fleet("events")
    assert (run.code, run.out) == (0, "No events.\n")


@pytest.mark.parametrize("options", [("--since", "soon"), ("--name", "a.b"), ("--domain", "sea"), ("-n", "-1")])
async def test_options_are_checked(fleet: Fleet, options: tuple[str, ...]) -> None:
    assert (await fleet("events", *options)).code == 2


async def test_following_goes_on_over_restarts_without_gaps_or_repeats(
    spawn: Spawn, client: NatsConnection, stream: None, own_nats: NatsServer
) -> None:
    del stream
    await tell(client, "user_login", request_id="r-0")
    process = await spawn("events", "--follow", "--json", "--user", "ann")
    assert process.stdout is not None
    seen = [json.loads(await asyncio.wait_for(process.stdout.readline(), 10))]
    for round_, end in enumerate((own_nats.kill, own_nats.stop)):
        for number in range(3):
            await tell(client, "message_received", request_id=f"r-{round_}-{number}")
            await tell(client, "message_received", user_id="bob")
        end()
        await own_nats.start_async()
        await wait_until(lambda: client.is_connected, timeout=10)
        await tell(client, "message_received", request_id=f"r-{round_}-3")
        seen += [json.loads(await asyncio.wait_for(process.stdout.readline(), 15)) for _ in range(4)]
    wanted = ["r-0", *(f"r-{round_}-{number}" for round_ in range(2) for number in range(4))]
    assert [row["request_id"] for row in seen] == wanted
    process.send_signal(2)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out, err) == (130, b"", b"")


async def test_following_waits_for_the_stream(spawn: Spawn, client: NatsConnection) -> None:
    process = await spawn("events", "-f", "--json")
    assert process.stderr is not None
    assert process.stdout is not None
    assert b"There is no stream AI_EVENTS yet" in await asyncio.wait_for(process.stderr.readline(), 10)
    await StreamManager(client).ensure((AI_EVENTS,))
    await tell(client, "user_login")
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 10))["name"] == "user_login"


async def test_a_line_fits_the_terminal(
    fleet: Fleet, client: NatsConnection, stream: None, own_nats: NatsServer, folder: Path
) -> None:
    del stream, fleet
    await tell(client, "message_received", request_id="r" * 36, data={"text": "日本語 " * 100})
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "handler_base.cli", "--nats-url", own_nats.url, "events"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=follower,
        cwd=folder,
        env=environment,
    )
    os.close(follower)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    shown = os.read(leader, 10_000).decode()
    os.close(leader)
    (line,) = shown.splitlines()
    assert line.startswith("2025-01-02 03:04:05  chat.message_received  ann  s-1  rrrrrrrrrrrr…  text=日本語 日")
    assert line.endswith("…")
    assert len(line) < 100
