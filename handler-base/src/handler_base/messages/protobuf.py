"""Messages as Protocol Buffers, by the names of their fields.

Proto3 does not send what is zero. A number or text that is absent takes the contract's default; a bool that is
absent is false, as its sender meant it. Fields with presence (``optional``) are read only where they were sent.
No bytes at all are a valid message: the one in which everything is absent.

This module loads the Protocol Buffers runtime, so `codec` imports it with the first message that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.messages._base import Message
from handler_base.messages._bounds import MAX_ENTRIES, MAX_ITEMS
from handler_base.messages._protobuf_wire import check_growth
from handler_base.messages.common import DocumentSource, Usage
from handler_base.messages.events import DomainEvent
from handler_base.messages.pipeline import Artifact
from handler_base.messages.proto import messages_pb2
from handler_base.messages.tts import TTSVoiceInfo

__all__ = ["decode", "encode"]

M = TypeVar("M", bound=Message)

_NESTED: Final[Mapping[str, type[Message]]] = {
    cls.__name__: cls for cls in (Artifact, DocumentSource, TTSVoiceInfo, Usage)
}
_UNCHECKED: Final = 4096
"""Bytes up to which a body cannot grow to anything that matters."""

_event_data: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(
    next(field.type for field in msgspec.structs.fields(DomainEvent) if field.name == "data")
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a message is read and written.

    Attributes:
        proto: Its generated class.
        absent: What its fields are before any is read: false for bools without presence.
        read: Field name → what makes the value of the runtime's; fields not named are taken as they are.
        write: The same in the other direction.
        presence: Names of the fields that are sent even when zero.
        texts: Numbers of its text fields.
        repeated: Number of a list or map → most entries it may have.
    """

    proto: Callable[..., ProtoMessage]
    absent: dict[str, bool]
    read: dict[str, Callable[[Any], object]]
    write: dict[str, Callable[[Any], object]]
    presence: frozenset[str]
    texts: frozenset[int]
    repeated: dict[int, int]


def decode(schema: type[M], payload: bytes) -> M:
    """Read a message.

    Raises:
        InvalidRequestError: The body is not such a message.
    """
    plan = _plan(schema)
    try:
        if len(payload) > _UNCHECKED:
            check_growth(payload, plan.texts, plan.repeated)
        received = plan.proto()
        received.ParseFromString(payload)
        return _to_struct(schema, received)
    except (DecodeError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The body is not a valid {schema.__name__}.") from error


def encode(message: Message) -> bytes:
    """Write a message.

    Raises:
        InternalError: A value does not fit its field.
    """
    try:
        return _to_proto(message).SerializeToString()
    except (TypeError, ValueError, OverflowError) as error:
        raise InternalError from error


def _to_struct(schema: type[M], received: ProtoMessage) -> M:
    plan = _plan(schema)
    read = plan.read
    values: dict[str, Any] = plan.absent.copy()
    for field, value in received.ListFields():
        name = field.name
        convert = read.get(name)
        values[name] = value if convert is None else convert(value)
    return schema(**values)


def _to_proto(message: Message) -> ProtoMessage:
    plan = _plan(type(message))
    write, presence = plan.write, plan.presence
    values: dict[str, object] = {}
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if value or (name in presence and value is not None):
            convert = write.get(name)
            values[name] = value if convert is None else convert(value)
    return plan.proto(**values)


@cache
def _plan(schema: type[Message]) -> _Plan:
    proto = getattr(messages_pb2, schema.__name__)
    plan = _Plan(
        proto,
        absent={},
        read={},
        write={},
        presence=frozenset(field.name for field in proto.DESCRIPTOR.fields if field.has_presence),
        texts=frozenset(field.number for field in proto.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_STRING),
        repeated={},
    )
    for field in proto.DESCRIPTOR.fields:
        _plan_field(plan, field)
    if schema is DomainEvent:
        plan.read["data"] = _event_data.decode
        plan.write["data"] = msgspec.msgpack.encode
    return plan


def _plan_field(plan: _Plan, field: FieldDescriptor) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        plan.read[field.name] = _mapping
        plan.repeated[field.number] = MAX_ENTRIES
    elif field.is_repeated:
        plan.read[field.name] = list if kind is None else _structs_of(_NESTED[kind.name])
        if kind is not None:
            plan.write[field.name] = _protos
        plan.repeated[field.number] = MAX_ITEMS
    elif kind is not None:
        plan.read[field.name] = _struct_of(_NESTED[kind.name])
        plan.write[field.name] = _to_proto
    elif field.type == FieldDescriptor.TYPE_BOOL and not field.has_presence:
        plan.absent[field.name] = False


def _mapping(values: Mapping[str, object]) -> dict[str, object]:
    if len(values) > MAX_ENTRIES:
        raise ValueError("a map has too many entries")
    return dict(values)


def _struct_of(schema: type[Message]) -> Callable[[Any], object]:
    return lambda value: _to_struct(schema, value)


def _structs_of(schema: type[Message]) -> Callable[[Any], object]:
    return lambda values: [_to_struct(schema, value) for value in values]


def _protos(values: list[Message]) -> list[ProtoMessage]:
    return [_to_proto(value) for value in values]
