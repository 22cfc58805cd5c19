"""Messages as Protocol Buffers, by the names of their fields.

Proto3 does not send what is zero. A number or text that is absent takes the contract's default; a bool that is
absent is false, as its sender meant it. Fields with presence (``optional``) are read only where they were sent.

This module loads the Protocol Buffers runtime, so `codec` imports it with the first message that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.messages._base import Message
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
_EVENT_DATA: Final = next(field.type for field in msgspec.structs.fields(DomainEvent) if field.name == "data")


def decode(schema: type[M], payload: bytes) -> M:
    """Read a message. No bytes at all are a message whose fields are all zero.

    Raises:
        InvalidRequestError: The body is not such a message.
    """
    received = _proto_class(schema)()
    try:
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
        return _to_proto(message, _proto_class(type(message))()).SerializeToString()
    except (TypeError, ValueError) as error:
        raise InternalError from error


def _proto_class(schema: type[Message]) -> type[ProtoMessage]:
    return cast("type[ProtoMessage]", getattr(messages_pb2, schema.__name__))


def _to_struct(schema: type[M], received: ProtoMessage) -> M:
    values: dict[str, Any] = {}
    for field in received.DESCRIPTOR.fields:
        value = getattr(received, field.name)
        if field.has_presence:
            if received.HasField(field.name):
                values[field.name] = _single(field, value)
        elif field.is_repeated:
            values[field.name] = _many(field, value)
        elif field.type == FieldDescriptor.TYPE_BOOL or value:
            values[field.name] = value
    if schema is DomainEvent and "data" in values:
        values["data"] = msgspec.msgpack.decode(values["data"], type=_EVENT_DATA)
    return schema(**values)


def _single(field: Any, value: Any) -> Any:  # noqa: ANN401 - the runtime has two descriptor types, and any value
    return _to_struct(_NESTED[field.message_type.name], value) if field.message_type is not None else value


def _many(field: Any, value: Any) -> Any:  # noqa: ANN401 - see _single
    if field.message_type is None:
        return list(value)
    if field.message_type.GetOptions().map_entry:
        return dict(value)
    return [_to_struct(_NESTED[field.message_type.name], item) for item in value]


def _to_proto(message: Message, target: ProtoMessage) -> ProtoMessage:
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, Message):
            _to_proto(value, getattr(target, name)).SetInParent()
        elif isinstance(value, list):
            _extend(getattr(target, name), value)
        elif isinstance(value, dict):
            if isinstance(message, DomainEvent):
                setattr(target, name, msgspec.msgpack.encode(value))
            else:
                getattr(target, name).update(value)
        elif value is not None:
            setattr(target, name, value)
    return target


def _extend(target: Any, values: list[Any]) -> None:  # noqa: ANN401 - the runtime's containers have no common type
    for value in values:
        if isinstance(value, Message):
            _to_proto(value, target.add())
        else:
            target.append(value)
