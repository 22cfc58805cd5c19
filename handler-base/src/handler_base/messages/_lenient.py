"""Reads a MessagePack body field by field: old publishers' shapes, and large bodies.

Old publishers send numbers with a fraction where the contract has integers, base64 text where it has bytes,
numbers and booleans where it has text, nil for what they leave out. Each field is read by its own type first
and by a wider one after that.

A body is first split into its fields without reading them. That is what large bodies need as well: no field is
turned into objects before its size is known to be sensible for its type.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages._base import Message
from handler_base.messages._bounds import CONTAINER_LIMIT, LARGE_BODY, MAX_KEYS, TEXT_LIMIT, MapOf

__all__ = ["decode_lenient", "has_alias"]

M = TypeVar("M", bound=Message)

_ALIASES: Final[dict[str, str]] = {"audio_b64": "audio"}
"""Old key → the field it means; always base64 text."""

_ALIAS_BYTES: Final = tuple(alias.encode() for alias in _ALIASES)

_STR_HEADERS: Final[dict[int, int]] = {**dict.fromkeys(range(0xA0, 0xC0), 1), 0xD9: 2, 0xDA: 3, 0xDB: 5}
"""First byte of a text → bytes before its characters."""

_WIDER: Final[dict[object, object]] = {
    int: int | float | str | None,
    float: int | float | str | None,
    bool: bool | int | None,
    str: str | int | float | bool | None,
}


def _to_int(value: float | str) -> int:
    return value if isinstance(value, int) else int(float(value))


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _to_texts(value: dict[str, object]) -> dict[str, str]:
    return {key: _to_text(item) for key, item in value.items()}


_CONVERT: Final[dict[object, Callable[[Any], object]]] = {int: _to_int, float: float, bool: bool, str: _to_text}


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read.

    Attributes:
        name: Its name, which is its key.
        kind: Its type without bounds.
        bounded: Its type.
        decoder: Reads the contract's shape.
        wider: Reads old shapes and nil.
        convert: Makes the contract's shape of an old one.
    """

    name: str
    kind: object
    bounded: Any
    decoder: msgspec.msgpack.Decoder[Any]
    wider: msgspec.msgpack.Decoder[Any]
    convert: Callable[[Any], object] | None

    def read(self, piece: msgspec.Raw) -> object:
        """Return the value, or None where nil was sent."""
        view = memoryview(piece)
        if self.kind is bytes:
            return _read_bytes(view)
        _check_size(self.kind, view)
        try:
            return self.decoder.decode(view)
        except msgspec.ValidationError:
            value = self.wider.decode(view)
        if value is None or self.convert is None:
            return value
        return msgspec.convert(self.convert(value), self.bounded)


def _check_size(kind: object, view: memoryview) -> None:
    """Refuse what would grow: a number of a megabyte, or a long text that is not ASCII."""
    if len(view) <= TEXT_LIMIT:
        return
    if kind is str:
        if view[0] == 0xDB and bytes(view[5:]).isascii():
            return
    elif get_origin(kind) in {list, dict} and len(view) <= CONTAINER_LIMIT:
        return
    raise ValueError("too long for its type")


def _read_bytes(view: memoryview) -> bytes | None:
    header = _STR_HEADERS.get(view[0])
    if header is None:
        return msgspec.msgpack.decode(view, type=bytes | None)
    return binascii.a2b_base64(view[header:], strict_mode=True) if len(view) > header else b""


def _plain(bounded: Any) -> object:  # noqa: ANN401 - any type a field may have
    """Return a type without its bounds and without None."""
    if get_origin(bounded) is Annotated:
        return get_args(bounded)[0]
    parts = [part for part in get_args(bounded) if part is not NoneType]
    return parts[0] if get_origin(bounded) in {Union, UnionType} and len(parts) == 1 else bounded


def _field(name: str, bounded: Any) -> _Field:  # noqa: ANN401 - any type a field may have
    kind = _plain(bounded)
    wider: Any = _WIDER.get(kind, bounded | None)
    convert = _CONVERT.get(kind)
    if get_origin(kind) is dict and get_args(kind)[1] is str:
        wider = MapOf[str | int | float | bool | None] | None
        convert = _to_texts
    decoder = msgspec.msgpack.Decoder
    return _Field(name, kind, bounded, decoder(bounded), decoder(wider), convert)


@cache
def _shape(schema: type[Message]) -> tuple[msgspec.msgpack.Decoder[Any], tuple[_Field, ...]]:
    """Return what splits a body into its fields, and what reads those."""
    fields = tuple(_field(field.name, field.type) for field in msgspec.structs.fields(schema))
    names = [field.name for field in fields]
    names += [alias for alias, target in _ALIASES.items() if target in names]
    split: list[tuple[str, type, None]] = [(name, msgspec.Raw, None) for name in names]
    return msgspec.msgpack.Decoder(msgspec.defstruct(f"{schema.__name__}Fields", split, gc=False)), fields


def _check_keys(payload: bytes) -> None:
    """Refuse a map of more keys than any message has: each takes its time, known, unknown or repeated."""
    header = {0xDE: 3, 0xDF: 5}.get(payload[0], 1)
    if int.from_bytes(payload[1:header], "big") > MAX_KEYS:
        raise ValueError("too many keys")


def has_alias(payload: bytes) -> bool:
    """Whether a body may use an old key for a field."""
    return any(alias in payload for alias in _ALIAS_BYTES)


def decode_lenient(schema: type[M], payload: bytes) -> M:
    """Decode MessagePack field by field.

    Raises:
        InvalidRequestError: The body fits neither the contract nor an old shape.
    """
    splitter, fields = _shape(schema)
    try:
        if len(payload) > LARGE_BODY:
            _check_keys(payload)
        pieces = splitter.decode(payload)
        values: dict[str, Any] = {}
        for field in fields:
            piece = getattr(pieces, field.name)
            if piece is not None and (value := field.read(piece)) is not None:
                values[field.name] = value
        for alias, target in _ALIASES.items():
            if (piece := getattr(pieces, alias, None)) is not None and not values.get(target):
                values[target] = _read_bytes(memoryview(piece)) or b""
        return schema(**values)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequestError(f"The body is not a valid {schema.__name__}.") from error
