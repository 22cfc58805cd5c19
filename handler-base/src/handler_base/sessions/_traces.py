"""Whose a message in a stream is, whatever it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from handler_base.errors import FleetError
from handler_base.messages import MESSAGES, Message, decode, detect
from handler_base.messages.subjects import ALL, Subject
from handler_base.nats_client import headers
from handler_base.nats_client.dead_letters import SUBJECT

__all__ = ["Trace", "dead_letter_trace", "names_user", "trace"]

_BY_NAME: Final = {message.schema_name: message for message in MESSAGES}


@dataclass(frozen=True, slots=True)
class Trace:
    """Who and what a message names.

    Attributes:
        users: The users, by its subject and by its body; empty where it names none.
        speaker: Who spoke, in transcriptions: a name that the client chose.
        request_id: The question it belongs to, or empty.
        session_id: The conversation it belongs to, or empty.
        readable: Whether the body could be read.
    """

    users: frozenset[str]
    speaker: str = ""
    request_id: str = ""
    session_id: str = ""
    readable: bool = True


def trace(subject: str, fields: Mapping[str, str] | None, payload: bytes) -> Trace:
    """Return who and what a message names.

    Args:
        subject: What it was published on.
        fields: Its headers.
        payload: Its body.
    """
    declared, tokens = _declaration(subject)
    message = _decode(_candidates(declared, fields), fields, payload)
    users = {tokens.get("user_id", ""), getattr(message, "user_id", "")} - {""}
    return Trace(
        frozenset(users),
        getattr(message, "speaker_id", ""),
        tokens.get("request_id", "") or getattr(message, "request_id", ""),
        tokens.get("session_id", "") or getattr(message, "session_id", ""),
        message is not None,
    )


def dead_letter_trace(fields: Mapping[str, str] | None, payload: bytes) -> Trace:
    """Return who and what a dead letter names, by the subject it came from, its headers and its body."""
    return trace(headers.header(fields, SUBJECT) or "", fields, payload)


def names_user(user_id: str, fields: Mapping[str, str] | None, payload: bytes) -> bool:
    """Whether a body that cannot be read has a user's id in it as a text of its own.

    Args:
        user_id: The id.
        fields: The message's headers; an event's id begins with the user's.
        payload: The body.
    """
    if (headers.header(fields, headers.MESSAGE_ID) or "").startswith(f"{user_id}/"):
        return True
    wanted = user_id.encode()
    at = payload.find(wanted)
    while at >= 0:
        if _stands_alone(payload, at, len(wanted)):
            return True
        at = payload.find(wanted, at + 1)
    return False


def _stands_alone(payload: bytes, at: int, length: int) -> bool:
    """Whether bytes are a whole text of MessagePack or Protocol Buffers, or at least a whole quoted word."""
    before = payload[at - 1] if at else -1
    after = payload[at + length] if at + length < len(payload) else -1
    written_length = before in {length, 0xA0 | length} if length < 32 else before == length
    return written_length or (before == after == ord('"'))


@lru_cache(maxsize=512)
def _declaration(subject: str) -> tuple[Subject | None, dict[str, str]]:
    for declared in ALL:
        tokens = declared.match(subject)
        if tokens is not None:
            return declared, tokens
    return None, {}


def _candidates(declared: Subject | None, fields: Mapping[str, str] | None) -> tuple[type[Message], ...]:
    named = _BY_NAME.get(headers.header(fields, headers.MESSAGE_TYPE) or "")
    if named is not None:
        return (named,)
    return declared.messages if declared is not None else ()


def _decode(candidates: tuple[type[Message], ...], fields: Mapping[str, str] | None, payload: bytes) -> Message | None:
    for kind in candidates:
        try:
            return decode(kind, payload, detect(payload, headers.header(fields, headers.CONTENT_TYPE)))
        except FleetError:
            continue
    return None
