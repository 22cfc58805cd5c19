"""What an archive does, whichever database it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from msgspec.structs import force_setattr

from handler_base.errors import InvalidRequestError
from handler_base.sessions.archive import Archive, StoredConversation, UsageRow
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]
At = Callable[[float], datetime]


async def test_stored_messages_come_back_as_they_were_in_order(archive: Archive, message: MakeMessage) -> None:
    given = [message(position, premium=position > 2) for position in range(6)]
    assert await archive.store(given[::-1]) == [each.id for each in given[::-1]]
    assert await archive.messages("ada", "s1") == given
    assert archive.available


async def test_a_message_is_stored_once_and_never_changes(archive: Archive, message: MakeMessage) -> None:
    first = message(0)
    assert await archive.store([first, first]) == [first.id]
    assert await archive.store([message(0, content="something else"), message(1)]) == [message(1).id]
    assert await archive.messages("ada", "s1") == [first, message(1)]


async def test_a_message_stands_where_it_was_said_first(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(1), message(2)])
    assert await archive.store([message(5, id="ada/1"), message(0, id="ada/2")]) == []
    assert [(found.id, found.position) for found in await archive.messages("ada", "s1")] == [("ada/2", 0), ("ada/1", 1)]


async def test_which_messages_are_known(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(1), message(2)])
    assert await archive.known(["ada/1", "ada/3"]) == {"ada/1"}
    assert await archive.known([]) == set()


async def test_storing_nothing_is_nothing(archive: Archive) -> None:
    assert await archive.store([]) == []


async def test_more_messages_than_a_statement_takes(archive: Archive, message: MakeMessage) -> None:
    given = [message(position, session_id=f"s{position % 300}") for position in range(2500)]
    assert await archive.store(given) == [each.id for each in given]
    assert await archive.store(given) == []
    assert sum(found.messages for found in await archive.conversations(limit=1000)) == 2500


async def test_two_writers_of_the_same_messages_in_opposite_orders(archive: Archive, message: MakeMessage) -> None:
    given = [message(position, session_id=f"s{position % 7}") for position in range(200)]
    new = await asyncio.gather(
        *(archive.store(given if turn % 2 else given[::-1]) for turn in range(6)),
        *(archive.store(given[start:] + given[:start]) for start in (50, 100)),
    )
    assert sorted(identity for some in new for identity in some) == sorted(each.id for each in given)
    assert sum(found.messages for found in await archive.conversations()) == 200


async def test_a_conversation_spans_its_messages(archive: Archive, message: MakeMessage, at: At) -> None:
    for position in (3, 1, 5):
        await archive.store([message(position, kind="voice" if position == 1 else "chat")])
    assert await archive.conversations() == [
        StoredConversation(
            user_id="ada", session_id="s1", kind="voice", title="", started_at=at(1), last_activity=at(5), messages=3
        )
    ]


async def test_conversations_are_listed_newest_first_for_one_user_or_all(
    archive: Archive, message: MakeMessage
) -> None:
    await archive.store([message(0, session_id="old"), message(2, session_id="new"), message(1, user_id="bob")])
    assert [(found.user_id, found.session_id) for found in await archive.conversations()] == [
        ("ada", "new"),
        ("bob", "s1"),
        ("ada", "old"),
    ]
    assert [found.session_id for found in await archive.conversations(user_id="ada", limit=1)] == ["new"]


async def test_the_same_session_of_another_user_is_another_conversation(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(0), message(2, user_id="bob")])
    assert [found.user_id for found in await archive.messages("bob", "s1")] == ["bob"]
    assert len(await archive.conversations()) == 2


async def test_a_person_without_a_name_has_conversations(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(0, user_id="", id="-/0")])
    assert [found.id for found in await archive.messages("", "s1")] == ["-/0"]


async def test_a_limit_keeps_the_last_messages(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(position) for position in range(5)])
    assert [found.position for found in await archive.messages("ada", "s1", limit=2)] == [3, 4]
    for limit in (0, 10_001):
        with pytest.raises(InvalidRequestError):
            await archive.messages("ada", "s1", limit=limit)


@pytest.mark.parametrize(
    ("content", "sought"),
    [
        ("Is the café open?", "CAFÉ"),
        ("ΟΔΥΣΣΕΥΣ sails", "οδυσσευς"),
        ("Čtvrť in winter", "ČTVRŤ"),
        ("the Straße", "STRASSE"),
        ("cafe\u0301 decomposed", "café"),
        ("sale: 100% off", "100%"),
        ("snake_case name", "snake_c"),
        ("a \\ b / c", "\\ B /"),
    ],
)
async def test_search_knows_no_case_and_no_wildcards(
    archive: Archive, message: MakeMessage, content: str, sought: str
) -> None:
    await archive.store([message(0, content=content), message(2, content="100 times snakeXcase, nothing of it")])
    assert [found.content for found in await archive.search(sought)] == [content]


async def test_search_is_newest_first_and_bounded(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(position, session_id=f"s{position % 2}") for position in range(6)])
    await archive.store([message(10, user_id="bob", content="a question")])
    assert [found.position for found in await archive.search("question")] == [10, 4, 2, 0]
    assert [found.position for found in await archive.search("QUESTION", user_id="ada", limit=2)] == [4, 2]
    assert [found.position for found in await archive.search("answer", session_id="s1")] == [5, 3, 1]
    assert await archive.search("question", session_id="s1", user_id="ada") == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a\x00b", "ab"), ("half \ud83d of it", "half \ufffd of it"), ("\ud83d\ude00", "😀"), ("", "")],
)
async def test_text_no_database_takes_is_made_such(
    archive: Archive, message: MakeMessage, given: str, kept: str
) -> None:
    stored = message(0, content=given, username=given, model=given, status=given)
    assert await archive.store([stored]) == [stored.id]
    (found,) = await archive.messages("ada", "s1")
    assert (found.content, found.username, found.model, found.status) == (kept, kept, kept, kept)
    assert await archive.search(given) == [found]
    assert await archive.messages(f"ada{given}!", f"s{given}") == []


async def test_times_are_kept_to_the_microsecond_whatever_their_zone(archive: Archive, message: MakeMessage) -> None:
    tokyo = datetime(2026, 3, 1, 8, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    await archive.store([message(0, created_at=tokyo)])
    (found,) = await archive.messages("ada", "s1")
    assert found.created_at == tokyo
    assert found.created_at.tzinfo is UTC


async def test_a_number_that_is_none_does_not_cost_the_message(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(0, latency_ms=float("nan"))])
    assert [found.latency_ms for found in await archive.messages("ada", "s1")] == [0.0]


@pytest.mark.parametrize(("field", "value"), [("role", "system"), ("position", 2**63), ("request_id", None)])
async def test_a_row_the_database_refuses_stores_nothing(
    archive: Archive, message: MakeMessage, caplog: pytest.LogCaptureFixture, field: str, value: object
) -> None:
    refused = message(1, session_id="secret-session")
    force_setattr(refused, field, value)
    with pytest.raises(InvalidRequestError) as raised:
        await archive.store([message(0), refused])
    assert "answer 1" not in f"{raised.value!r}{raised.value.__cause__!r}{caplog.text}"
    assert archive.available
    assert await archive.conversations() == []
    assert await archive.store([message(0)]) == [message(0).id]


async def test_usage_by_day_and_user(archive: Archive, message: MakeMessage) -> None:
    late = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    given = [message(position, premium=position < 2) for position in range(4)]
    given += [message(4, created_at=late), message(5, created_at=late + timedelta(minutes=2))]
    given += [message(position, user_id="bob") for position in (6, 7)]
    await archive.store(given)
    everybody = await archive.usage(since=datetime(2026, 3, 1, tzinfo=UTC))
    assert everybody == [
        UsageRow(date(2026, 3, 1), "ada", 3, 20, 6, 1),
        UsageRow(date(2026, 3, 1), "bob", 1, 10, 3, 0),
        UsageRow(date(2026, 3, 2), "ada", 0, 10, 3, 0),
    ]
    assert await archive.usage(user_id="ada", since=datetime(2026, 3, 2, tzinfo=UTC)) == everybody[2:]


async def test_untitled_conversations_are_those_with_an_answer(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(position) for position in range(4)])
    await archive.store([message(10, session_id="unanswered")])
    await archive.store([message(20, session_id="cut"), message(21, session_id="cut", content="")])
    await archive.store([message(30, session_id="later"), message(31, session_id="later")])
    expected = [("ada", "later", "question 30", "answer 31"), ("ada", "s1", "question 0", "answer 1")]
    assert await archive.untitled(10) == expected
    assert await archive.untitled(1) == expected[:1]
    await archive.set_title("ada", "later", f" Café\x00 {'x' * 300}")
    await archive.set_title("ada", "not there", "A title")
    assert await archive.untitled(10) == expected[1:]
    titles = {found.session_id: found.title for found in await archive.conversations()}
    assert titles["later"] == f"Café {'x' * 195}"


async def test_a_title_outlasts_more_messages(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(0)])
    await archive.set_title("ada", "s1", "Lighthouses")
    await archive.store([message(1)])
    assert [found.title for found in await archive.conversations()] == ["Lighthouses"]


async def test_what_is_old_expires_with_the_conversations_it_leaves_empty(
    archive: Archive, message: MakeMessage, at: At
) -> None:
    await archive.store([message(position, session_id="long") for position in range(2300)])
    await archive.store([message(2400, session_id="short", created_at=at(0))])
    assert await archive.expire(at(2298)) == 2299
    assert [(found.session_id, found.messages) for found in await archive.conversations()] == [("long", 2)]
    assert await archive.expire(at(2298)) == 0
    assert await archive.store([message(2400, session_id="short", created_at=at(0))]) == ["ada/2400"]


async def test_the_ids_of_a_user(archive: Archive, message: MakeMessage) -> None:
    await archive.store([message(position, session_id=f"s{position // 4}") for position in range(6)])
    await archive.store([message(6, request_id=""), message(8, user_id="bob", session_id="other")])
    assert await archive.identifiers("ada") == ({"r0", "r1", "r2"}, {"s0", "s1"})
    assert await archive.identifiers("nobody") == (set(), set())


async def test_a_moment_needs_a_time_zone(archive: Archive) -> None:
    moment = datetime(2026, 3, 1)  # noqa: DTZ001 - the fault to be found
    for call in (archive.expire(moment), archive.usage(since=moment), archive.forget("ada", moment)):
        with pytest.raises(InvalidRequestError):
            await call
