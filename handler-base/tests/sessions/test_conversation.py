from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.sessions.conversation import ChatMessage, Conversation, Role

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def message(number: int = 1, /, **fields: object) -> ChatMessage:
    made: dict[str, object] = {
        "id": f"ann/r{number}/message_received",
        "user_id": "ann",
        "session_id": "s1",
        "role": Role.USER,
        "content": "When does the ferry leave?",
        "created_at": NOW,
        **fields,
    }
    return ChatMessage(**made)  # type: ignore[arg-type]  # names and types checked at run time


def test_a_message_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        message().content = "other"  # type: ignore[misc]


def test_a_message_belongs_to_one_conversation() -> None:
    assert message().conversation == ("ann", "s1")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"id": ""}, id="no id"),
        pytest.param({"session_id": ""}, id="no conversation"),
        pytest.param({"session_id": "a.b"}, id="a conversation that is no token"),
        pytest.param({"user_id": "a b"}, id="a user that is no token"),
        pytest.param({"content": " \n"}, id="nothing said"),
    ],
)
def test_a_message_that_breaks_a_rule_is_not_made(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        message(**fields)


def test_a_message_has_a_time_with_its_zone() -> None:
    with pytest.raises(InternalError):
        message(created_at=NOW.replace(tzinfo=None))


def test_a_message_of_a_caller_that_names_nobody_is_one() -> None:
    assert message(user_id="").conversation == ("", "s1")


def test_a_conversation_has_at_least_one_message() -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([])


def test_a_conversation_keeps_the_order() -> None:
    conversation = Conversation([message(2)]).then(message(1))
    assert [one.id for one in conversation] == [message(2).id, message(1).id]
    assert (conversation.user_id, conversation.session_id, len(conversation)) == ("ann", "s1", 2)


@pytest.mark.parametrize("other", [{"user_id": "bob"}, {"session_id": "s2"}])
def test_a_conversation_takes_no_message_of_another(other: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([message(1)]).then(message(2, **other))


def test_a_conversation_holds_a_message_once() -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([message(1)]).then(message(1))


def test_going_on_leaves_a_conversation_as_it_was() -> None:
    first = Conversation([message(1)])
    first.then(message(2))
    assert len(first) == 1
