"""`fleet dlq`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from handler_base.errors import InternalError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, encode
from handler_base.messages.streams import AI_DEAD_LETTER, COMPANIONS_CHAT
from handler_base.nats_client import NatsConnection, StreamManager
from handler_base.testing.probe import Running, StartService, echo
from handler_base.testing.waiting import wait_until

from .conftest import Fleet


async def broken(_: ChatRequest, __: Context) -> ChatResponse:
    raise InternalError


async def given_up(fleet: Fleet, running: Running, *messages: str) -> list[dict[str, Any]]:
    """Put questions that are given up, and return the records."""
    for message in messages:
        await running.put(ChatRequest(message=message))

    async def all_there() -> bool:
        run = await fleet("dlq", "list", "--json")
        return run.code == 0 and len(run.json) == len(messages)

    await wait_until(all_there, timeout=15)
    records: list[dict[str, Any]] = (await fleet("dlq", "list", "--json")).json
    return records


async def test_given_up_work_is_listed_shown_and_replayed(fleet: Fleet, start: StartService) -> None:
    running = await start(broken, max_deliver=1)
    (record,) = await given_up(fleet, running, "lost?")
    assert record["subject"] == "ai.chat.user.ann.message"
    assert (record["stream"], record["consumer"], record["reason"]) == (COMPANIONS_CHAT.name, "probe", "internal")
    table = await fleet("dlq", "list")
    assert "ai.chat.user.ann.message" in table.out

    number = str(record["record"])
    shown = (await fleet("dlq", "show", number)).json
    assert shown["message"]["message"] == "lost?"
    assert shown["attempts"] == 1

    running.handler.behaviour = echo
    answers = await running.listen("ai.chat.response.*")
    replayed = await fleet("dlq", "replay", number)
    assert replayed.code == 0, replayed.err
    assert replayed.out == f"record {number}: published again on ai.chat.user.ann.message\n"
    await asyncio.wait_for(answers.get(), 10)
    assert (await fleet("dlq", "list")).out == "No dead letters.\n"


async def test_replaying_all_stops_at_what_was_there(fleet: Fleet, start: StartService) -> None:
    running = await start(broken, max_deliver=1)
    await given_up(fleet, running, "one", "two")
    limited = await fleet("dlq", "list", "--limit", "1")
    assert "There are more" in limited.out
    none = await fleet("dlq", "replay", "--all", "--stream", "AI_PIPELINE")
    assert none.out == "No dead letters.\n"
    run = await fleet("dlq", "replay", "--all", "--consumer", "probe")
    assert run.code == 0
    assert run.out.count("published again") == 2


async def test_there_is_no_dead_letter_stream_yet(fleet: Fleet) -> None:
    run = await fleet("dlq", "list")
    assert (run.code, run.out) == (0, "No dead letters.\n")
    assert (await fleet("dlq", "list", "--json")).json == []
    shown = await fleet("dlq", "show", "1")
    assert shown.code == 1
    assert "There is no dead letter 1" in shown.err


async def test_a_record_that_is_not_there_does_not_stop_the_others(fleet: Fleet, start: StartService) -> None:
    running = await start(broken, max_deliver=1)
    (record,) = await given_up(fleet, running, "one")
    run = await fleet("dlq", "replay", "999", str(record["record"]))
    assert run.code == 1
    assert "published again" in run.out
    assert run.err.splitlines() == [
        "fleet: record 999: there is no such dead letter",
        "fleet: 1 of 2 records could not be replayed and are kept.",
    ]


async def test_a_record_whose_stream_is_gone_is_kept(fleet: Fleet, client: NatsConnection) -> None:
    number = await bury(client, "ai.chat.user.ann.message", encode(ChatRequest(message="hi")))
    run = await fleet("dlq", "replay", str(number))
    assert run.code == 1
    assert "no stream captures its subject now" in run.err
    assert len((await fleet("dlq", "list", "--json")).json) == 1


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b"\xff\x00", {"base64": "/wA="}), (b"plain \x1b[31m", "plain \x1b[31m"), (b'{"a": 1}', {"a": 1})],
)
async def test_a_body_of_another_kind_is_shown_as_it_is(
    fleet: Fleet, client: NatsConnection, folder: Path, payload: bytes, shown: object
) -> None:
    number = await bury(client, "somebody.elses", payload)
    run = await fleet("dlq", "show", str(number), "--save", "body.bin")
    assert "\x1b" not in run.out
    assert run.json["message"] == shown
    assert (folder / "body.bin").read_bytes() == payload
    assert (await fleet("dlq", "show", str(number), "--save", "no/folder")).code == 2


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("1", "--stream", "X"), ("0",), ("one",)])
async def test_replay_wants_records_or_all(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    assert (await fleet("dlq", "replay", *arguments)).code == 2


async def bury(client: NatsConnection, subject: str, payload: bytes) -> int:
    """Write a record as a service does."""
    await StreamManager(client).ensure((AI_DEAD_LETTER,))
    fields = {
        "Dead-Letter-Reason": "internal",
        "Dead-Letter-Description": "It \x1b[31mbroke.",
        "Dead-Letter-Attempts": "3",
        "Dead-Letter-Subject": subject,
        "Dead-Letter-Stream": "GONE",
        "Dead-Letter-Consumer": "probe",
        "Dead-Letter-Sequence": "7",
        "Dead-Letter-Published": "2025-01-02T03:04:05+00:00",
    }
    return (await client.jetstream_publish("ai.dlq.GONE.probe", payload, headers=fields)).sequence
