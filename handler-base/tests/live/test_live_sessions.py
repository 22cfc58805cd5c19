"""Live sessions at one replica and at several: order, limits, ends, and who may speak."""

from __future__ import annotations

from functools import partial
from itertools import count

import msgspec

from handler_base.live.records import Record
from handler_base.messages.subjects import STT_STREAM
from handler_base.nats_client import KeyValue
from handler_base.testing.stt_caller import HeardSession, SttCaller
from handler_base.testing.waiting import wait_until

from .conftest import BUCKET, Replica, StartWords


async def say(caller: SttCaller, heard: HeardSession, *words: str, first: int = 1) -> None:
    for number, word in enumerate(words, first):
        await caller.send(heard, "chunk", audio=word.encode(), sequence=number)


def said(heard: HeardSession) -> list[tuple[int, str]]:
    return [(final.sequence, final.transcript) for final in heard.finals]


async def begun(caller: SttCaller, *words: str) -> HeardSession:
    heard = await caller.hear()
    await caller.send(heard, "start")
    await say(caller, heard, *words)
    await heard.until(lambda heard: len(heard.finals) == len(words))
    return heard


def owner_of(heard: HeardSession, *replicas: Replica) -> tuple[Replica, list[Replica]]:
    (owner,) = [replica for replica in replicas if heard.session_id in replica.handler.opened]
    return owner, [replica for replica in replicas if replica is not owner]


def more_than(answers: int, heard: HeardSession) -> bool:
    return len(heard.told) > answers


async def give_to_the_other(caller: SttCaller, heard: HeardSession) -> None:
    """Make a session the other replica's, as one does that takes its owner for dead."""
    store, key = KeyValue(caller.client, BUCKET), f"session.{heard.session_id}"
    entry = await store.get(key)
    assert entry is not None
    record = msgspec.msgpack.decode(entry.value, type=Record)
    members = [name.removeprefix("member.") for name in await store.keys("member.>")]
    (rival,) = [name for name in members if name != record.owner]
    taken = msgspec.structs.replace(record, owner=rival, generation=record.generation + 1)
    await store.update(key, msgspec.msgpack.encode(taken), entry.revision)


async def test_messages_are_taken_in_order_and_the_end_is_last(start: StartWords, caller: SttCaller) -> None:
    await start()
    heard = await caller.hear()
    await caller.send(heard, "start")
    await say(caller, heard, *(f"word {number}" for number in range(50)))
    await caller.send(heard, "end")
    await heard.ended()
    assert said(heard) == [(number + 1, f"word {number}") for number in range(50)]
    assert heard.told[-1].transcript == "asked"


async def test_what_means_nothing_and_a_fault_are_typed_errors_and_end_nothing(
    start: StartWords, caller: SttCaller
) -> None:
    await start()
    heard = await begun(caller, "one")
    await caller.client.publish(STT_STREAM.format(session_id=heard.session_id), b"\xc1")
    await caller.send(heard, "dance")
    await say(caller, heard, "fault", "two", first=2)
    await heard.until(lambda heard: len(heard.finals) == 2)
    assert heard.errors == ["invalid_request", "invalid_request", "internal"]
    assert said(heard) == [(1, "one"), (2, "two")]


async def test_a_session_that_is_not_there_is_not_found(start: StartWords, caller: SttCaller) -> None:
    await start()
    heard = await caller.hear()
    await caller.send(heard, "state_change")
    await heard.until(lambda heard: heard.errors)
    assert (heard.errors, heard.codes) == (["not_found"], ["404"])


async def test_a_session_more_than_may_be_is_refused_until_one_ends(start: StartWords, caller: SttCaller) -> None:
    await start(sessions=1)
    first, second = await begun(caller, "one"), await caller.hear()
    await caller.send(second, "start")
    await second.until(lambda heard: heard.errors)
    assert (second.errors, second.codes) == (["overloaded"], ["429"])
    await caller.send(first, "end")
    await first.ended()
    # Its place is free a moment later; until then each start is answered.
    while not second.finals:
        answers = len(second.told)
        await caller.send(second, "start")
        await say(caller, second, "two")
        await second.until(partial(more_than, answers))
    assert said(second) == [(1, "two")]
    assert set(second.errors) == {"overloaded"}


async def test_more_than_may_wait_is_refused_once_and_told(start: StartWords, caller: SttCaller) -> None:
    replica = await start(inbox_bytes=2_000)
    heard = await begun(caller, "one")
    replica.handler.gate.clear()
    await say(caller, heard, *("more" for _ in range(50)), first=2)
    await heard.until(lambda heard: heard.errors)
    # The end is taken in all the same: the session would stay without it.
    await caller.send(heard, "end")
    await caller.client.flush()
    replica.handler.gate.set()
    await heard.ended()
    assert (heard.errors, heard.codes) == (["overloaded"], ["429"])
    assert [final.sequence for final in heard.finals] == list(range(1, len(heard.finals) + 1))
    assert 3 < len(heard.finals) < 20


async def test_a_session_that_hears_nothing_is_ended(start: StartWords, caller: SttCaller) -> None:
    await start(idle=0.3)
    heard = await begun(caller, "one")
    await heard.ended()
    assert heard.told[-1].transcript == "idle"


async def test_a_second_start_ends_what_was_and_begins_anew(start: StartWords, caller: SttCaller) -> None:
    await start()
    heard = await begun(caller, "one", "two")
    await caller.send(heard, "start")
    await say(caller, heard, "three")
    await heard.until(lambda heard: len(heard.finals) == 3)
    assert [one.transcript for one in heard.told] == ["one", "two", "restart", "three"]
    assert said(heard)[-1] == (1, "three")


async def test_each_session_is_at_one_of_two_replicas(start: StartWords, caller: SttCaller) -> None:
    replicas = [await start() for _ in range(2)]
    sessions = [await begun(caller, "one") for _ in range(16)]
    for heard in sessions:
        await say(caller, heard, "two", "three", first=2)
        await caller.send(heard, "end")
        await heard.ended()
        assert said(heard) == [(1, "one"), (2, "two"), (3, "three")]
        owner_of(heard, *replicas)
    assert all(replica.handler.opened for replica in replicas)


async def test_a_replica_that_stops_leaves_its_sessions_to_another(start: StartWords, caller: SttCaller) -> None:
    replicas = [await start() for _ in range(2)]
    heard = await begun(caller, "one")
    owner, (other,) = owner_of(heard, *replicas)
    await owner.service.stop()
    await heard.until(lambda heard: len(heard.finals) == 2)
    await say(caller, heard, "two", first=2)
    await caller.send(heard, "end")
    await heard.ended()
    assert said(heard) == [(1, "one"), (2, "left"), (3, "two")]
    assert other.handler.opened == [heard.session_id]


async def test_an_owner_that_has_lost_a_session_says_nothing_more(start: StartWords, caller: SttCaller) -> None:
    replicas = [await start() for _ in range(2)]
    heard = await begun(caller, "one")
    owner, (other,) = owner_of(heard, *replicas)
    owner.handler.gate.clear()
    await say(caller, heard, "stale", first=2)
    await wait_until(lambda: owner.handler.waiting == 1)
    await give_to_the_other(caller, heard)
    numbers = count(3)

    async def heard_there() -> bool:
        await say(caller, heard, "two", first=next(numbers))
        return len(heard.finals) > 1

    await wait_until(heard_there, every=0.05)
    owner.handler.gate.set()
    await wait_until(lambda: owner.handler.waiting == 0)
    await caller.send(heard, "end")
    await heard.ended()
    # The other replica may have heard it as well, and says it with the next number then.
    assert [final.transcript for final in heard.finals].count("stale") <= 1
    assert [final.sequence for final in heard.finals] == list(range(1, len(heard.finals) + 1))
    assert other.handler.opened == [heard.session_id]
