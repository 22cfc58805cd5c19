from __future__ import annotations

from datetime import UTC, datetime

import pytest

from handler_base.errors import InvalidRequestError
from handler_base.sessions import ChatMessage, Conversation

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def message(number: int = 1, /, *, user_id: str = "ann", session_id: str = "s1") -> ChatMessage:
    return ChatMessage(
        id=f"{user_id}/r{number}/message_received",
        user_id=user_id,
        session_id=session_id,
        role="user",
        content="When does the ferry leave?",
        request_id=f"r{number}",
        position=number,
        created_at=NOW,
        kind="chat",
    )


def test_a_message_never_changes() -> None:
    with pytest.raises(AttributeError):
        message().content = "other"  # type: ignore[misc]


def test_a_message_belongs_to_one_conversation() -> None:
    assert message().conversation == ("ann", "s1")


def test_a_conversation_has_at_least_one_message() -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([])


def test_a_conversation_is_in_the_order_it_was_said() -> None:
    conversation = Conversation([message(2), message(3), message(1)])
    assert [one.request_id for one in conversation] == ["r1", "r2", "r3"]
    assert (conversation.user_id, conversation.session_id, len(conversation)) == ("ann", "s1", 3)


@pytest.mark.parametrize("other", [message(2, user_id="bob"), message(2, session_id="s2")])
def test_a_conversation_takes_no_message_of_another(other: ChatMessage) -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([message(1), other])


def test_a_conversation_holds_a_message_once() -> None:
    with pytest.raises(InvalidRequestError):
        Conversation([message(1), message(1)])
