"""What is kept of sessions, and what opening one brings."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from handler_base.clients import ChatMessage, decode_messages, encode_messages

__all__ = ["Opening", "Preferences", "Session", "Turn"]


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One question and its answer, as the user saw them.

    It is kept as the model reads it: a turn is written once, and read as messages in every prompt of the next ten.

    Attributes:
        said: Both, as `encode_messages` writes them.
        request_id: Of the question; a turn with one that is there already is not kept twice.
        at: When it was answered, in Unix seconds.
    """

    said: bytes
    request_id: str = ""
    at: int = 0

    @classmethod
    def of(cls, question: str, answer: str, request_id: str = "", at: int = 0) -> Turn:
        """Return the turn of a question and its answer; what is no text in them becomes a question mark."""
        try:
            said = encode_messages(ChatMessage("user", question), ChatMessage("assistant", answer))
        except UnicodeEncodeError:
            return cls.of(_text(question), _text(answer), request_id, at)
        return cls(said, request_id, at)

    @property
    def question(self) -> str:
        """What the user asked."""
        return decode_messages(msgspec.Raw(self.said))[0].content

    @property
    def answer(self) -> str:
        """What was answered."""
        return decode_messages(msgspec.Raw(self.said))[1].content


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class Preferences(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a user wants for every question that does not say otherwise; empty is no wish."""

    voice: str = ""
    model: str = ""
    language: str = ""
    rag: bool = True


class Session(msgspec.Struct):
    """A conversation of one user: the same id of another user is another session.

    Attributes:
        user_id: Whose it is.
        session_id: Which of theirs.
        kind: `chat` or `voice`.
        started: Unix seconds.
        last_activity: Unix seconds.
        username: As the login told it.
        premium: Whether it was opened as a premium user's.
        title: Empty until it has one.
        turns: How many it had in all, also those that are no longer kept.
        metadata: What the question that opened it brought.
    """

    user_id: str
    session_id: str
    kind: str = "chat"
    started: int = 0
    last_activity: int = 0
    username: str = ""
    premium: bool = False
    title: str = ""
    turns: int = 0
    metadata: dict[str, str] = {}


class Opening(msgspec.Struct, gc=False):
    """What the store says when a question begins.

    Attributes:
        session_id: As given, or of the session that the user's last login opened; empty when there is neither.
        created: Whether this question opened the session.
        turns: The last ones, oldest first, without those that the summary covers.
        summary: Of the turns before; empty when there is none.
        preferences: Of the user.
        retry_after: Set when the user's quota is spent: how long until the next question may come.
        stored: False when the store was away; all else but `session_id` is then the default.
    """

    session_id: str = ""
    created: bool = False
    turns: list[Turn] = []
    summary: str = ""
    preferences: Preferences = Preferences()
    retry_after: timedelta | None = None
    stored: bool = False
