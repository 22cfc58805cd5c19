"""Bytes to messages and back, in the two encodings of the contract.

The encoding of a message is named by its `Content-Type` header, or told by its first byte: a MessagePack
map begins with a byte that no message of ours has in Protocol Buffers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar, cast

import msgspec

from handler_base.errors import InternalError, InvalidRequestError, UnsupportedFormatError
from handler_base.messages._base import Message
from handler_base.messages._bounds import LARGE_BODY
from handler_base.messages._lenient import decode_lenient, has_alias

__all__ = ["Encoding", "decode", "detect", "encode"]

M = TypeVar("M", bound=Message)


class Encoding(StrEnum):
    """The encodings, by their media type."""

    MSGPACK = "application/msgpack"
    PROTOBUF = "application/x-protobuf"


_PROTOBUF: Final = Encoding.PROTOBUF
"""A name of the module is found in a third of the time that a member of an enumeration takes."""

_MEDIA_TYPES: Final[dict[str, Encoding]] = {
    "application/msgpack": Encoding.MSGPACK,
    "application/x-msgpack": Encoding.MSGPACK,
    "application/vnd.msgpack": Encoding.MSGPACK,
    "application/x-protobuf": Encoding.PROTOBUF,
    "application/protobuf": Encoding.PROTOBUF,
}

_encoder: Final = msgspec.msgpack.Encoder()
_decoders: Final[dict[type[Message], msgspec.msgpack.Decoder[Message]]] = {}


def _decoder(schema: type[M]) -> msgspec.msgpack.Decoder[M]:
    decoder = _decoders.get(schema)
    if decoder is None:
        decoder = _decoders[schema] = msgspec.msgpack.Decoder(schema)
    return cast("msgspec.msgpack.Decoder[M]", decoder)


def detect(payload: bytes, content_type: str | None = None) -> Encoding:
    """Return the encoding of a body.

    Args:
        payload: The body.
        content_type: Value of its `Content-Type` header, if it has one.

    Raises:
        UnsupportedFormatError: The header names another format.
    """
    if content_type:
        encoding = _MEDIA_TYPES.get(content_type) or _MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())
        if encoding is None:
            raise UnsupportedFormatError("The Content-Type is neither application/msgpack nor application/x-protobuf.")
        return encoding
    if not payload:
        return Encoding.PROTOBUF
    first = payload[0]
    return Encoding.MSGPACK if 0x80 <= first <= 0x8F or first in {0xDE, 0xDF} else Encoding.PROTOBUF


def decode(schema: type[M], payload: bytes, encoding: Encoding = Encoding.MSGPACK) -> M:
    """Read a message.

    Raises:
        InvalidRequestError: The body is not such a message.
    """
    if encoding is _PROTOBUF:
        # Loaded with the first message that needs it: most deployments never see one.
        from handler_base.messages import protobuf  # noqa: PLC0415

        return protobuf.decode(schema, payload)
    if len(payload) > LARGE_BODY:
        return decode_lenient(schema, payload)
    try:
        message = _decoder(schema).decode(payload)
    except msgspec.ValidationError:
        return decode_lenient(schema, payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The body is not a valid {schema.__name__}.") from error
    if getattr(message, "audio", None) == b"" and has_alias(payload):
        return decode_lenient(schema, payload)
    return message


def encode(message: Message, encoding: Encoding = Encoding.MSGPACK) -> bytes:
    """Write a message.

    Raises:
        InternalError: A value does not fit its field, such as a text with half a surrogate pair.
    """
    if encoding is _PROTOBUF:
        from handler_base.messages import protobuf  # noqa: PLC0415 - see decode

        return protobuf.encode(message)
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise InternalError from error
