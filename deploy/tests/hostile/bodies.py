"""Bodies that are made to hurt whoever reads them."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgpack
import msgspec

from handler_base.messages import Message

__all__ = ["LARGE", "Body", "harmful", "huge", "unreadable"]

LARGE: Final = 8 * 1024 * 1024 - 4096
"""Bytes of the largest bodies; what a server with a `max_payload` of 8 MB takes, headers included."""

_MSGPACK: Final = "application/msgpack"
_PROTOBUF: Final = "application/x-protobuf"
_INNER: Final = 60_000
"""Bytes that pass the size limit of the subjects, so that the body is really read."""

_LENGTH_HEADERS: Final = {
    "str": b"\xdb\xff\xff\xff\xff",
    "bin": b"\xc6\xff\xff\xff\xff",
    "array": b"\xdd\xff\xff\xff\xff",
    "map": b"\xdf\xff\xff\xff\xff",
    "ext": b"\xc9\xff\xff\xff\xff\x05",
}


@dataclass(frozen=True, slots=True)
class Body:
    """A body.

    Attributes:
        name: Its kind.
        payload: The bytes.
        content_type: What its header says; empty: no header.
    """

    name: str
    payload: bytes
    content_type: str = ""

    @property
    def headers(self) -> dict[str, str] | None:
        """Headers to send it with."""
        return {"Content-Type": self.content_type} if self.content_type else None


def unreadable(schema: type[Message]) -> list[Body]:
    """Return what is no message of a schema, whatever it claims to be."""
    good = msgpack.packb({"user_id": "ann", "username": "Ann"})
    name = _field(schema, "user_id", "session_id", "pipeline")
    key = bytes([0xA0 | len(name)]) + name.encode()
    return [
        *_nested(),
        *_declared_lengths(),
        *_mistyped(schema),
        *_foreign(),
        *_protobuf(),
        Body("empty", b"", _MSGPACK),
        Body("truncated", good[:-3]),
        Body("trailing bytes", good + b"\x00"),
        Body("two messages", good + good),
        Body("reserved byte", b"\xc1", _MSGPACK),
        Body("invalid UTF-8", b"\x81" + key + b"\xa2\xff\xfe"),
        Body("lone surrogate", b"\x81" + key + b"\xa3\xed\xa0\x80"),
        Body("another format", good, "application/json"),
        Body("a nonsense format", good, "\x7f" * 200),
        Body("over the limit by one", msgpack.packb({"user_id": "a" * 65_536})),
    ]


def harmful() -> list[Body]:
    """Return what can be read as a message and holds nothing, but is costly to a careless reader."""
    many = msgpack.packb([{}] * _INNER)
    return [
        Body("empty Protocol Buffers", b""),
        Body("empty map", b"\x80"),
        Body("empty maps in an unknown field", b"\x81\xa1x" + many),
        Body("duplicate keys", b"\xde\x1f\xff" + b"\xa6userid\xa0" * 0x1FFF),
        Body("invalid UTF-8 in an unknown key", b"\x81\xa2\xff\xfe\x01"),
        Body("many unknown keys", msgpack.packb({f"k{number}": None for number in range(7000)})),
        Body("unknown extension", b"\x81\xa1x\xd4\x7f\x00"),
        Body("timestamp extension", b"\x81\xa1x\xc7\x0c\xff" + b"\xff" * 12),
    ]


def huge() -> list[Body]:
    """Return bodies as large as the server takes."""
    rest = LARGE - 16
    return [
        Body("8 MB of empty maps", b"\x81\xa1x\xdd" + struct.pack(">I", rest) + b"\x80" * rest),
        Body("8 MB of nesting", b"\x91" * LARGE, _MSGPACK),
        Body("8 MB of text", b"\x81\xa7message\xdb" + struct.pack(">I", rest) + b"a" * rest),
        Body("8 MB of zeros", bytes(LARGE), _PROTOBUF),
        Body("8 MB of empty submessages", b"\xaa\x06\x00" * (LARGE // 3), _PROTOBUF),
        Body("8 MB of noise", random.Random(1).randbytes(LARGE)),
    ]


def _nested() -> Iterator[Body]:
    yield Body("deep arrays", b"\x91" * _INNER, _MSGPACK)
    yield Body("deep maps", b"\x81\xa1a" * (_INNER // 3))
    yield Body("deep arrays in an unknown field", b"\x81\xa1x" + b"\x91" * _INNER)
    yield Body("deep maps in a text field", b"\x81\xa7user_id" + b"\x81\xa1a" * (_INNER // 3))


def _declared_lengths() -> Iterator[Body]:
    for kind, head in _LENGTH_HEADERS.items():
        yield Body(f"huge {kind}", head, _MSGPACK)
        yield Body(f"huge {kind} in a text field", b"\x81\xa7user_id" + head)
        yield Body(f"huge {kind} in an unknown field", b"\x81\xa1x" + head)


def _field(schema: type[Message], *names: str) -> str:
    """Return the first of these fields that a message has; the last of all where it has none."""
    known = {field.name for field in msgspec.structs.fields(schema)}
    return next((name for name in names if name in known), names[-1])


def _mistyped(schema: type[Message]) -> Iterator[Body]:
    text, boolean = _field(schema, "user_id", "session_id", "pipeline"), _field(schema, "premium", "is_final", "")
    yield Body("list for text", msgpack.packb({text: [1, 2]}))
    yield Body("map for text", msgpack.packb({text: {"a": 1}}))
    yield Body("bytes for text", msgpack.packb({text: b"\x00\x01"}))
    if boolean:
        yield Body("list for a boolean", msgpack.packb({boolean: []}))
    yield Body("a list of values", msgpack.packb(["ann", "hi"]), _MSGPACK)
    yield Body("a number", msgpack.packb(7), _MSGPACK)
    yield Body("nothing", b"\xc0", _MSGPACK)
    yield Body("text", msgpack.packb("hello"), _MSGPACK)
    yield Body("a list as key", b"\x81\x91\x01\x02")
    names = {field.name for field in msgspec.structs.fields(schema)}
    for name in sorted(names & {"top_k", "timestamp"}):
        for label, value in {
            "NaN": float("nan"),
            "infinity": float("inf"),
            "1e300": 1e300,
            "2**64-1": 2**64 - 1,
        }.items():
            yield Body(f"{label} for a number", msgpack.packb({name: value}))
        yield Body("text for a number", msgpack.packb({name: "many"}))
        yield Body("4300 digits for a number", msgpack.packb({name: "9" * 5000}))


def _foreign() -> Iterator[Body]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1_000_000))
    for content_type in ("", _MSGPACK, _PROTOBUF):
        yield Body(f"zip as {content_type or 'unnamed'}", archive.getvalue(), content_type)
        yield Body(f"gzip as {content_type or 'unnamed'}", gzip.compress(bytes(1_000_000)), content_type)
        yield Body(f"JSON as {content_type or 'unnamed'}", b'{"message": "hi"}', content_type)
        yield Body(f"XML as {content_type or 'unnamed'}", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", content_type)
        for seed in range(4):
            noise = random.Random(seed).randbytes(1000)
            yield Body(f"noise {seed} as {content_type or 'unnamed'}", noise, content_type)


def _protobuf() -> Iterator[Body]:
    yield Body("truncated Protocol Buffers", b"\x0a\x05abc", _PROTOBUF)
    yield Body("huge text in Protocol Buffers", b"\x0a\xff\xff\xff\xff\x07", _PROTOBUF)
    yield Body("endless varint", b"\x0a" + b"\xff" * 20, _PROTOBUF)
    yield Body("deep groups", b"\xab\x06" * (_INNER // 2), _PROTOBUF)
    yield Body("group without end", b"\x0b", _PROTOBUF)
    yield Body("field number zero", b"\x00\x01", _PROTOBUF)
    yield Body("invalid UTF-8 in Protocol Buffers", b"\x0a\x02\xff\xfe", _PROTOBUF)
