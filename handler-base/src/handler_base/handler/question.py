"""From bytes on a subject to a validated question."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol, cast

from handler_base.deadline import Deadline
from handler_base.errors import FleetError, InvalidRequestError, PayloadTooLargeError
from handler_base.handler.endpoints import Endpoint
from handler_base.messages import Encoding, Message, decode, detect
from handler_base.messages.subjects import Subject, check_token, is_ingress, is_token, response_subject_allowed
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import header

__all__ = ["Question", "detached", "read_question"]

_TOKENS: Final = ("request_id", "user_id", "session_id")


class _Asked(Protocol):
    """The fields that questions have in common; a message may lack any of them."""

    request_id: str
    user_id: str
    response_subject: str
    premium: bool


@dataclass(slots=True)
class Question:
    """What is known of a question, as far as reading it came.

    Attributes:
        endpoint: What answers it.
        subject: The subject it came on.
        deadline: When its answer is due.
        encoding: What it is written in, and so its answer.
        message: The question itself; None while it could not be read.
        request_id: Its id, made here when the caller sent none.
        made_id: Whether it was.
        session_id: The session its subject or its body names, or empty.
        reply: The reply inbox, or empty.
        response_subject: Where the answer goes besides the inbox, or empty.
        premium: Whether it goes before standard questions.
        position: Of durable work in its stream.
        age: How long durable work waited in its stream.
        error: Why it cannot be answered, where reading failed.
    """

    endpoint: Endpoint
    subject: Subject
    deadline: Deadline
    encoding: Encoding = Encoding.MSGPACK
    message: Message | None = None
    request_id: str = ""
    made_id: bool = False
    session_id: str = ""
    reply: str = ""
    response_subject: str = ""
    premium: bool = False
    position: int = 0
    age: timedelta = timedelta(0)
    error: FleetError | None = field(default=None)


def read_question(
    endpoint: Endpoint,
    subject: Subject,
    raw_subject: str,
    payload: bytes,
    headers: Mapping[str, str] | None,
    *,
    reply: str,
    budget: timedelta,
    age: timedelta = timedelta(0),
    position: int = 0,
    identity: str = "",
    allowed: tuple[str, ...] = (),
) -> Question:
    """Decode and validate; what is wrong is told in `Question.error`, so that it can still be answered.

    Args:
        endpoint: What answers the subject.
        subject: Its declaration.
        raw_subject: The concrete subject.
        payload: The body.
        headers: Its headers, if any.
        reply: The reply inbox, or empty.
        budget: Time for the answer when the caller names none.
        age: How long the question waited in its stream.
        position: Where in its stream it stands.
        identity: What the message is the only one to have, so that an id made for it is the same at each delivery.
        allowed: Response subjects the operator allows besides the contract's.
    """
    question = Question(
        endpoint,
        subject,
        _deadline(headers, budget, age),
        reply=reply if _may_reply(reply) else "",
        position=position,
        age=age,
    )
    try:
        if len(payload) > subject.max_bytes:
            raise PayloadTooLargeError(f"The body is larger than {subject.max_bytes} bytes.")
        content_type = header(headers, names.CONTENT_TYPE)
        encoding = detect(payload, content_type)
        if content_type:
            question.encoding = encoding
        message = decode(endpoint.schema, payload, encoding)
        # Only now: what is neither encoding, and does not say which it means to be, is answered in the fleet's own.
        question.encoding = encoding
        question.message = message
        _identify(question, cast("_Asked", message), raw_subject, identity)
        _address(question, cast("_Asked", message), allowed)
    except FleetError as error:
        question.error = detached(error)
        if not question.response_subject:
            _address_unread(question, raw_subject)
    return question


def detached(error: FleetError) -> FleetError:
    """Return an error to keep, without the traceback that holds the frames it came through.

    Kept where one of those frames can reach it, the traceback would close a circle around the body of the message,
    and large bodies would pile up until the garbage collector comes by.
    """
    return type(error)(error.message, retry_after=error.retry_after)


def _deadline(headers: Mapping[str, str] | None, budget: timedelta, age: timedelta) -> Deadline:
    left = header(headers, names.DEADLINE_MS)
    if left is not None:
        try:
            asked = timedelta(milliseconds=min(float(left), 86_400_000.0)) - age
        except ValueError:
            asked = budget
        budget = min(budget, max(asked, timedelta(0)))
    return Deadline.after(budget)


def _may_reply(reply: str) -> bool:
    """Whether an inbox is one: not a system subject, and nothing that a service listens to."""
    if reply.startswith("_INBOX."):
        return True
    return bool(reply) and not reply.startswith("$") and not is_ingress(reply)


def _identify(question: Question, message: _Asked, raw_subject: str, identity: str) -> None:
    """Check the ids; the subject's user is the user, since permissions are granted on subjects."""
    tokens = question.subject.match(raw_subject) or {}
    user_id = tokens.get("user_id")
    if user_id is not None:
        message.user_id = user_id
    request_id = getattr(message, "request_id", None)
    if request_id == "":
        request_id = message.request_id = _made_id(identity)
        question.made_id = True
    if request_id is not None:
        question.request_id = check_token("request_id", request_id)
    for name in _TOKENS[1:]:
        value = getattr(message, name, "")
        if value:
            check_token(name, value)
    session_id = tokens.get("session_id")
    question.session_id = getattr(message, "session_id", "") if session_id is None else session_id
    if session_id:
        check_token("session_id", session_id)


def _made_id(identity: str) -> str:
    if not identity:
        return str(uuid.uuid4())
    return str(uuid.UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16], version=4))


def _address(question: Question, message: _Asked, allowed: tuple[str, ...]) -> None:
    question.premium = getattr(message, "premium", False)
    response = question.endpoint.responses.get(question.subject)
    if response is not None:
        known = {"session_id": question.session_id}
        tokens = {name: known.get(name) or getattr(message, name, "") for name in response.placeholders}
        question.response_subject = response.format(**tokens) if all(tokens.values()) else ""
    asked = getattr(message, "response_subject", "")
    if asked:
        if not response_subject_allowed(asked, allowed):
            raise InvalidRequestError("response_subject must be an inbox or a response subject of the fleet.")
        question.response_subject = asked


def _address_unread(question: Question, raw_subject: str) -> None:
    """Find where a session hears of a question that could not be read: its subject names the session."""
    response = question.endpoint.responses.get(question.subject)
    session_id = (question.subject.match(raw_subject) or {}).get("session_id", "")
    if response is None or response.placeholders != ("session_id",) or not is_token(session_id):
        return
    question.session_id = session_id
    question.response_subject = response.format(session_id=session_id)
