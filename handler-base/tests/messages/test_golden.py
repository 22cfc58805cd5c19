"""Messages against bytes that are kept: what is on the wire today must be understood by all versions to come.

``UPDATE_GOLDEN=1 pytest handler-base/tests/messages/test_golden.py`` writes the bytes anew from each file's content,
by the independent writers of both encodings. A difference in the bytes of an old message is a break of the contract.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from google.protobuf import json_format

from handler_base.messages import MESSAGES, DomainEvent, Encoding, Message, decode, detect, encode
from handler_base.messages.proto import messages_pb2

GOLDEN = Path(__file__).parent / "golden"


class Golden(msgspec.Struct):
    """A kept message: `content` for people (bytes in base64), and its two encodings in hexadecimal."""

    content: dict[str, Any]
    msgpack: str
    protobuf: str

    def message(self, schema: type[Message]) -> Message:
        return msgspec.convert(self.content, schema)

    def encodings(self) -> dict[Encoding, bytes]:
        return {Encoding.MSGPACK: bytes.fromhex(self.msgpack), Encoding.PROTOBUF: bytes.fromhex(self.protobuf)}


def load(schema: type[Message]) -> Golden:
    path = GOLDEN / f"{schema.__name__}.json"
    golden = msgspec.json.decode(path.read_bytes(), type=Golden)
    if os.environ.get("UPDATE_GOLDEN"):
        golden = written_anew(schema, golden)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(golden)) + b"\n")
    return golden


def written_anew(schema: type[Message], golden: Golden) -> Golden:
    packed = msgpack.packb(msgspec.to_builtins(golden.message(schema), builtin_types=(bytes,)))
    content = golden.content.copy()
    if schema is DomainEvent:
        content["data"] = msgspec.to_builtins(msgpack.packb(content["data"]))
    proto = json_format.ParseDict(content, getattr(messages_pb2, schema.__name__)())
    return Golden(golden.content, packed.hex(), proto.SerializeToString(deterministic=True).hex())


every_message = pytest.mark.parametrize("schema", MESSAGES, ids=lambda schema: schema.__name__)
every_encoding = pytest.mark.parametrize("encoding", Encoding)


@every_message
@every_encoding
def test_kept_bytes_are_understood(schema: type[Message], encoding: Encoding) -> None:
    golden = load(schema)
    payload = golden.encodings()[encoding]
    assert detect(payload) is encoding
    assert decode(schema, payload, encoding) == golden.message(schema)


@every_message
@every_encoding
def test_the_same_bytes_are_written(schema: type[Message], encoding: Encoding) -> None:
    golden = load(schema)
    assert encode(golden.message(schema), encoding) == golden.encodings()[encoding]


@every_message
def test_every_field_is_in_the_kept_content(schema: type[Message]) -> None:
    assert list(load(schema).content) == list(schema.__struct_fields__)


def test_nothing_else_is_kept() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {schema.__name__ for schema in MESSAGES}
