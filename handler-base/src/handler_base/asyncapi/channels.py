"""Channels are subjects; operations are what a service sends to them and receives from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from handler_base.asyncapi.payloads import NO_BODY, reference
from handler_base.messages import subjects
from handler_base.messages.streams import STREAMS
from handler_base.messages.subjects import ALL, Subject, subject_matches

__all__ = ["channels", "operations"]

_INBOX: Final = "reply_inbox"
_PARAMETERS: Final = {
    "user_id": "The user: 1 to 128 of A-Z, a-z, 0-9, `_` and `-`.",
    "request_id": "The question: 1 to 128 of A-Z, a-z, 0-9, `_` and `-`.",
    "replica_id": "The replica of a service, by a name that it made up when it started.",
    "session_id": "The session: 1 to 128 of A-Z, a-z, 0-9, `_` and `-`.",
    "replica": "A replica of the service, by the id it made for itself.",
    "name": "Name of the event.",
    "stream": "The stream the message was delivered from, or `core`.",
    "consumer": "The consumer that could not handle it.",
}
_NATS: Final = "0.1.0"
"""Version of the NATS binding."""


def channels() -> dict[str, Any]:
    """Return every subject of the contract, and the reply inbox."""
    found = {_key(subject): _channel(subject) for subject in ALL}
    answers = sorted({message.__name__ for subject in ALL for message in subject.replies} | {"ErrorResponse"})
    found[_INBOX] = {
        "address": None,
        "title": "Reply inbox",
        "description": "The inbox of a request: its subject is made by the caller and travels with the question.",
        "messages": {name: reference(name) for name in answers},
    }
    return found


def operations() -> dict[str, Any]:
    """Return what each service sends and receives."""
    found: dict[str, Any] = {}
    for subject in ALL:
        for service in _services(subject.receivers):
            found[f"{_snake(service)}_receives_{_key(subject)}"] = _receive(subject, service)
        for service in _services(subject.publishers):
            found[f"{_snake(service)}_sends_{_key(subject)}"] = _operation(subject, service, "send")
    return found


def _services(names: tuple[str, ...]) -> Iterator[str]:
    return (name for name in names if name != subjects.CLIENT)


def _snake(name: str) -> str:
    return name.replace("-", "_")


def _key(subject: Subject) -> str:
    """Return the name of a subject's constant, in lower case."""
    return next(name.lower() for name, value in vars(subjects).items() if value is subject)


def _messages(subject: Subject) -> list[str]:
    """Return the names of what crosses a subject itself, leaving out what only comes back in the inbox."""
    return [message.__name__ for message in subject.messages if message not in subject.replies] or [NO_BODY]


def _channel(subject: Subject) -> dict[str, Any]:
    channel: dict[str, Any] = {"address": subject.template, "description": subject.description}
    if subject.placeholders:
        channel["parameters"] = {name: {"description": _PARAMETERS[name]} for name in subject.placeholders}
    if subject is not subjects.DEAD_LETTER:
        channel["messages"] = {name: reference(name) for name in _messages(subject)}
    channel["x-max-bytes"] = subject.max_bytes
    concrete = subject.pattern.replace("*", "x")
    stream = next((one.name for one in STREAMS if any(subject_matches(kept, concrete) for kept in one.subjects)), None)
    if stream is not None:
        channel["x-jetstream-stream"] = stream
    return channel


def _operation(subject: Subject, service: str, action: str) -> dict[str, Any]:
    path = f"#/channels/{_key(subject)}"
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": path},
        "summary": subject.description,
        "tags": [{"name": service}],
    }
    if subject is not subjects.DEAD_LETTER:
        operation["messages"] = [{"$ref": f"{path}/messages/{name}"} for name in _messages(subject)]
    return operation


def _receive(subject: Subject, service: str) -> dict[str, Any]:
    operation = _operation(subject, service, "receive")
    if subject.replies:
        operation["bindings"] = {"nats": {"queue": service, "bindingVersion": _NATS}}
        names = [message.__name__ for message in subject.replies] + ["ErrorResponse"]
        operation["reply"] = {
            "channel": {"$ref": f"#/channels/{_INBOX}"},
            "messages": [{"$ref": f"#/channels/{_INBOX}/messages/{name}"} for name in names],
        }
    return operation
