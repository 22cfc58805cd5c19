"""Messages of the contract as JSON, whatever they came in."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Mapping

import msgspec

from handler_base import messages
from handler_base.errors import FleetError
from handler_base.messages import Message, decode, detect
from handler_base.messages.subjects import ALL, Subject
from handler_base.nats_client import headers

__all__ = ["MESSAGES", "as_json", "subject_of"]

MESSAGES: dict[str, type[Message]] = {
    kind.__name__: kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
}
"""The messages of the contract by their short name."""


def subject_of(subject: str) -> Subject | None:
    """Return the declaration of a concrete subject, or None when the contract has none."""
    return next((declared for declared in ALL if declared.match(subject) is not None), None)


def as_json(payload: bytes, fields: Mapping[str, str] | None, subject: str = "") -> object:
    """Return a body as what JSON can hold.

    Args:
        payload: The body.
        fields: Its headers.
        subject: What it was published on; tells the message where no header does.

    Returns:
        The message's fields; a JSON document as it is; else text, or base64 under the key ``base64``.
    """
    for kind in _candidates(fields, subject):
        try:
            encoding = detect(payload, headers.header(fields, headers.CONTENT_TYPE))
            return msgspec.to_builtins(decode(kind, payload, encoding))
        except FleetError:
            continue
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode("ascii")}
    try:
        return json.loads(text)
    except ValueError:
        return text


def _candidates(fields: Mapping[str, str] | None, subject: str) -> tuple[type[Message], ...]:
    named = (headers.header(fields, headers.MESSAGE_TYPE) or "").rpartition(".")[2]
    if named in MESSAGES:
        return (MESSAGES[named],)
    declared = subject_of(subject)
    return declared.messages if declared is not None else ()
