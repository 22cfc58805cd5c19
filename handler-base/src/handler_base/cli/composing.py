"""A message of the contract from JSON, with errors that name the wrong field."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, get_args, get_origin

import msgspec

from handler_base.cli.rendering import MESSAGES, subject_of
from handler_base.errors import InvalidRequestError
from handler_base.messages import Message
from handler_base.messages.subjects import ALL, Subject, check_token

__all__ = ["compose", "find_subject", "message_type", "read_json"]

_AT: Final = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)


def find_subject(subject: str) -> Subject:
    """Return the declaration of a concrete subject.

    Raises:
        InvalidRequestError: The contract has no such subject, or nothing to publish on it.
    """
    declared = subject_of(subject)
    if declared is None:
        known = [one.template for one in ALL if one.messages]
        near = difflib.get_close_matches(subject, known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" It has: {', '.join(known)}."
        raise InvalidRequestError(f"{subject} is no subject of the contract.{hint}")
    if not declared.messages:
        raise InvalidRequestError(f"{subject} holds what was given up; `fleet dlq` reads and replays it.")
    for name, token in (declared.match(subject) or {}).items():
        check_token(name, token)
    return declared


def read_json(text: str) -> dict[str, object]:
    """Return a JSON object.

    Raises:
        InvalidRequestError: It is not one.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"This is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequestError("The JSON must be an object with the message's fields.")
    return value


def message_type(subject: Subject, value: Mapping[str, object], asked: str = "") -> type[Message]:
    """Return which of a subject's messages a JSON object is.

    Args:
        subject: The declaration.
        value: The JSON object.
        asked: Name of the message; empty: the one that has most of the object's fields.

    Raises:
        InvalidRequestError: The subject has no message of that name.
    """
    if asked:
        kind = MESSAGES.get(asked.rpartition(".")[2])
        if kind not in subject.messages:
            names = " or ".join(one.__name__ for one in subject.messages)
            raise InvalidRequestError(f"{asked} does not go on {subject.template}; it takes {names}.")
        return kind
    return max(subject.messages, key=lambda kind: len(value.keys() & set(kind.__struct_fields__)))


def compose(kind: type[Message], value: Mapping[str, object], folder: Path) -> Message:
    """Return the message of a JSON object.

    Args:
        kind: The message.
        value: Its fields; bytes as base64, or ``@FILE``.
        folder: What file names are relative to.

    Raises:
        InvalidRequestError: A field is unknown or has the wrong type; the text names it.
    """
    fields = _resolve(kind, value, folder, "")
    try:
        return msgspec.convert(fields, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        found = _AT.fullmatch(str(error))
        place, problem = (found["place"] or "", found["problem"]) if found else ("", str(error))
        raise InvalidRequestError(
            f"{kind.__name__}.{place}: {problem[:1].lower()}{problem[1:].replace('`', '')}."
        ) from error


def _resolve(kind: type[msgspec.Struct], value: Mapping[str, object], folder: Path, place: str) -> dict[str, object]:
    """Check the names of the fields and read what stands for bytes."""
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    resolved: dict[str, object] = {}
    for name, item in value.items():
        where = f"{place}{name}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise InvalidRequestError(f"{kind.__name__} has no field {where}; {hint}")
        resolved[name] = _resolve_item(known[name], item, folder, where)
    return resolved


def _resolve_item(declared: object, item: object, folder: Path, where: str) -> object:
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    if declared is bytes:
        return _read_bytes(item, folder, where)
    inner = _struct_of(declared)
    if inner is None:
        return item
    if isinstance(item, dict):
        return _resolve(inner, item, folder, f"{where}.")
    if isinstance(item, list) and get_origin(declared) is list:
        return [
            _resolve(inner, one, folder, f"{where}[{index}].") if isinstance(one, dict) else one
            for index, one in enumerate(item)
        ]
    return item


def _struct_of(declared: object) -> type[msgspec.Struct] | None:
    """Return the struct that a field is, may be, or lists."""
    for kind in (declared, *get_args(declared)):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return kind
    return None


def _read_bytes(item: object, folder: Path, where: str) -> bytes:
    if not isinstance(item, str):
        raise InvalidRequestError(f"{where}: bytes are written as base64, or as @FILE.")
    if item.startswith("@"):
        path = folder / item[1:]
        try:
            return path.read_bytes()
        except OSError as error:
            raise InvalidRequestError(f"{where}: {path} cannot be read ({error.strerror}).") from error
    try:
        return base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"{where}: this is not base64; a file is written as @FILE.") from error
