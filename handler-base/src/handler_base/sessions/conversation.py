"""What was said, as it is kept: a message never changes, and a conversation has at least one.

The rules are checked where an entity is made, so that whoever holds one may rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.messages.subjects import check_token

__all__ = ["ChatMessage", "Conversation", "Role"]


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Something that was said, in exactly one conversation; it never changes once made.

    Attributes:
        id: By which it is known everywhere; made of the question's id, so that telling it twice gives the same.
        user_id: Whose conversation it is; empty for callers that name nobody.
        session_id: Which of that user's conversations.
        role: Who said it.
        content: What was said.
        created_at: When; with its time zone.

    Raises:
        InvalidRequestError: It says nothing, belongs to no conversation, or has an id that is none.
        InternalError: The time lacks its zone.
    """

    id: str
    user_id: str
    session_id: str
    role: Role
    content: str
    created_at: datetime

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidRequestError("A chat message needs an id.")
        check_token("session_id", self.session_id)
        if self.user_id:
            check_token("user_id", self.user_id)
        if not self.content.strip():
            raise InvalidRequestError("A chat message says something.")
        if self.created_at.tzinfo is None:
            raise InternalError

    @property
    def conversation(self) -> tuple[str, str]:
        """Whose conversation it belongs to, and which."""
        return self.user_id, self.session_id


class Conversation:
    """Messages in the order they were said; at least one, all of the same conversation, each once.

    Args:
        messages: In their order.

    Raises:
        InvalidRequestError: There is none, or one belongs elsewhere or is there twice.
    """

    __slots__ = ("_messages",)

    def __init__(self, messages: Iterable[ChatMessage]) -> None:
        self._messages = tuple(messages)
        if not self._messages:
            raise InvalidRequestError("A conversation has at least one message.")
        if len({message.conversation for message in self._messages}) > 1:
            raise InvalidRequestError("A message belongs to exactly one conversation.")
        if len({message.id for message in self._messages}) < len(self._messages):
            raise InvalidRequestError("A conversation holds a message once.")

    @property
    def user_id(self) -> str:
        """Whose it is."""
        return self._messages[0].user_id

    @property
    def session_id(self) -> str:
        """Which of theirs."""
        return self._messages[0].session_id

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[ChatMessage]:
        return iter(self._messages)

    def then(self, message: ChatMessage) -> Conversation:
        """Return the conversation with one message more; this one stays as it is.

        Raises:
            InvalidRequestError: It belongs to another conversation, or is in this one already.
        """
        return Conversation((*self._messages, message))
