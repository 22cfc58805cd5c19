"""Shapes that older publishers send, read by a second, wider decoder.

Each message has a twin whose fields also take the old shapes: numbers with a fraction where the contract
has integers, base64 text where it has bytes, numbers and booleans where it has text. The twin is typed as
well, so that a hostile body is never unpacked into objects nobody asked for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, TypeVar, cast, get_args, get_origin

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages._base import Message

__all__ = ["decode_lenient", "has_alias"]

M = TypeVar("M", bound=Message)

_ALIASES: Final[dict[str, str]] = {"audio_b64": "audio"}
"""Old key → the field it means; always base64 text."""

_ALIAS_BYTES: Final = tuple(alias.encode() for alias in _ALIASES)

_WIDER: Final[dict[object, object]] = {
    int: int | float | str | None,
    float: int | float | None,
    bool: bool | int | None,
    str: str | int | float | bool | None,
    # An unread view of the body: msgspec has no union of text and bytes.
    bytes: msgspec.Raw,
}


def _plain(kind: object) -> object:
    """Return a type without its bounds; they are checked at the end."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _widened(kind: object) -> object:
    if get_origin(kind) is dict:
        return dict[str, str | int | float | bool | None] | None
    return _WIDER.get(kind, kind)


@cache
def _twin_decoder(schema: type[Message]) -> msgspec.msgpack.Decoder[Any]:
    fields: list[tuple[str, type, None]] = [
        (field.name, cast("type", _widened(_plain(field.type))), None) for field in msgspec.structs.fields(schema)
    ]
    names = {name for name, _, _ in fields}
    fields += [(alias, msgspec.Raw, None) for alias, target in _ALIASES.items() if target in names]
    return msgspec.msgpack.Decoder(msgspec.defstruct(f"{schema.__name__}Lenient", fields, gc=False))


def _to_int(value: float | str) -> int:
    return value if isinstance(value, int) else int(float(value))


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _to_bytes(value: msgspec.Raw) -> bytes:
    try:
        return msgspec.msgpack.decode(value, type=bytes | None) or b""
    except msgspec.ValidationError:
        return base64.b64decode(msgspec.msgpack.decode(value, type=str), validate=True)


_CONVERT: Final[dict[object, Callable[[Any], object]]] = {
    int: _to_int,
    float: float,
    bool: bool,
    str: _to_text,
    bytes: _to_bytes,
}


def _narrowed(kind: object, value: object) -> object:
    convert = _CONVERT.get(kind)
    if convert is not None:
        return convert(value)
    if isinstance(value, dict) and get_args(kind)[1] is str:
        return {key: _to_text(item) for key, item in value.items()}
    return value


def has_alias(payload: bytes) -> bool:
    """Whether a body may use an old key for a field."""
    return any(alias in payload for alias in _ALIAS_BYTES)


def decode_lenient(schema: type[M], payload: bytes) -> M:
    """Decode MessagePack in an old publisher's shape.

    Raises:
        InvalidRequestError: The body fits neither the contract nor an old shape.
    """
    try:
        twin = _twin_decoder(schema).decode(payload)
        values: dict[str, object] = {}
        for field in msgspec.structs.fields(schema):
            value = getattr(twin, field.name)
            if value is not None:
                values[field.name] = _narrowed(_plain(field.type), value)
        for alias, target in _ALIASES.items():
            if (value := getattr(twin, alias, None)) and not values.get(target):
                values[target] = _to_bytes(value)
        return msgspec.convert(values, schema)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, binascii.Error) as error:
        raise InvalidRequestError(f"The body is not a valid {schema.__name__}.") from error
