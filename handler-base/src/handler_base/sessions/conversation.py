"""What was said, as it is kept: a message never changes, and a conversation has at least one.

The rules are checked where an entity is made, so that whoever holds one may rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from handler_base.errors import InvalidRequestError

__all__ = ["LONGEST_ID", "LONGEST_MESSAGE_ID", "ChatMessage", "Conversation", "Kind", "Role"]

Role = Literal["user", "assistant"]
Kind = Literal["chat", "voice"]

LONGEST_ID: Final = 128
"""Longest user, session, or request id: what the wire contract allows."""

LONGEST_MESSAGE_ID: Final = 512
"""Longest message id: a user id, a request id and the name of an event, and what joins them."""

_TOO_LARGE: Final = 2**63
_ROLES: Final = frozenset(get_args(Role))
_KINDS: Final = frozenset(get_args(Kind))


class ChatMessage(msgspec.Struct, frozen=True, gc=False):
    """Something that was said, in exactly one conversation; it never changes once made.

    Attributes:
        id: Identity of the message; a second one with the same id is the same message.
        user_id: Whose conversation it belongs to; empty for a person without a name.
        session_id: The one conversation it belongs to.
        role: Who said it.
        content: What was said.
        request_id: The question it is part of.
        position: Its place in the stream it came from, that orders a conversation.
        created_at: When it was said, with its time zone.
        kind: Whether it was written or spoken.
        username: What the person was called.
        model: Which model answered.
        prompt_tokens: Tokens the model read.
        completion_tokens: Tokens the model wrote.
        premium: Whether the question was a premium user's.
        status: Whether the answer is complete.
        latency_ms: How long the answer took.
    """

    id: str
    user_id: str
    session_id: str
    role: Role
    content: str
    request_id: str
    position: int
    created_at: datetime
    kind: Kind
    username: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    premium: bool = False
    status: str = "complete"
    latency_ms: float = 0.0

    def __post_init__(self) -> None:
        """Check the invariants.

        Raises:
            InvalidRequestError: An id is missing, too long or not plain text; the role or the kind is unknown; a text
                is none; a number is negative or too large; or the time has no time zone.
        """
        _check_id("id", self.id, LONGEST_MESSAGE_ID)
        _check_id("session_id", self.session_id, LONGEST_ID)
        if self.user_id != "":
            _check_id("user_id", self.user_id, LONGEST_ID)
        if self.request_id != "":
            _check_id("request_id", self.request_id, LONGEST_ID)
        if self.role not in _ROLES:
            raise InvalidRequestError("The role of a message is user or assistant.")
        if self.kind not in _KINDS:
            raise InvalidRequestError("The kind of a message is chat or voice.")
        _check_texts(self.content, self.username, self.model, self.status)
        _check_numbers(self.position, self.prompt_tokens, self.completion_tokens)
        if self.created_at.tzinfo is None:
            raise InvalidRequestError("The time of a message needs a time zone.")

    @property
    def conversation(self) -> tuple[str, str]:
        """Whose conversation it belongs to, and which."""
        return self.user_id, self.session_id


class Conversation:
    """Messages in the order they were said; at least one, all of the same conversation, each once.

    Args:
        messages: In any order; their positions tell it.

    Raises:
        InvalidRequestError: There is none, or one belongs elsewhere or is there twice.
    """

    __slots__ = ("_messages",)

    def __init__(self, messages: Iterable[ChatMessage]) -> None:
        self._messages = tuple(sorted(messages, key=lambda message: message.position))
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


# What the checks are given comes from the wire: it may be of any type.


def _check_id(name: str, value: object, longest: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise InvalidRequestError(f"The {name} of a message has 1 to {longest} printable characters.")


def _check_texts(*values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise InvalidRequestError("What a message says, and of whom, is text.")


def _check_numbers(*values: object) -> None:
    for value in values:
        if not isinstance(value, int) or not 0 <= value < _TOO_LARGE:
            raise InvalidRequestError("The numbers of a message are whole, not negative, and below 2 ** 63.")
