from __future__ import annotations

import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import handler_base.messages
from handler_base.errors import UnsupportedFormatError
from handler_base.messages import MESSAGES, ChatRequest, Encoding, decode, detect, encode, events, unix_now


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/msgpack", Encoding.MSGPACK),
        ("application/x-msgpack", Encoding.MSGPACK),
        ("application/vnd.msgpack", Encoding.MSGPACK),
        ("application/x-protobuf", Encoding.PROTOBUF),
        ("application/protobuf", Encoding.PROTOBUF),
        ("Application/MsgPack", Encoding.MSGPACK),
        ("application/x-protobuf; messageType=messages.v1.ChatRequest", Encoding.PROTOBUF),
    ],
)
@pytest.mark.parametrize("body", [b"", b"\x80", b"\x0a\x01a"])
def test_the_header_says_the_encoding(content_type: str, encoding: Encoding, body: bytes) -> None:
    assert detect(body, content_type) is encoding


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "msgpack", ";", " "])
def test_another_format_is_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        detect(b"{}", content_type)


@pytest.mark.parametrize("content_type", [None, ""])
@pytest.mark.parametrize("first", range(256))
def test_without_a_header_the_first_byte_tells(first: int, content_type: str | None) -> None:
    a_map = 0x80 <= first <= 0x8F or first in {0xDE, 0xDF}
    assert detect(bytes([first]), content_type) is (Encoding.MSGPACK if a_map else Encoding.PROTOBUF)


def test_no_bytes_are_an_empty_protobuf_message() -> None:
    assert detect(b"") is Encoding.PROTOBUF
    assert decode(ChatRequest, b"", Encoding.PROTOBUF).message == ""


@given(st.sampled_from(MESSAGES))
def test_messages_are_named_as_in_the_proto_file(schema: type[handler_base.messages.Message]) -> None:
    assert schema.schema_name == f"messages.v1.{schema.__name__}"
    assert schema().schema_name == schema.schema_name
    assert b"schema_name" not in encode(schema())


def test_every_public_name_exists_and_is_listed() -> None:
    for info in pkgutil.walk_packages(handler_base.messages.__path__, "handler_base.messages."):
        if "_pb2" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name in module.__all__ if hasattr(module, "__all__") else ():
            assert hasattr(module, name), f"{info.name}.{name}"


def test_the_package_exports_its_messages() -> None:
    package = handler_base.messages
    assert sorted(package.__all__, key=str.swapcase) == sorted(set(package.__all__), key=str.swapcase)
    assert {schema.__name__ for schema in MESSAGES} <= set(package.__all__)
    public = {name for name, value in vars(package).items() if not name.startswith("_") and not _is_module(value)}
    assert public == set(package.__all__)


def _is_module(value: object) -> bool:
    return isinstance(value, type(pkgutil))


def test_events_are_named_once_in_each_family() -> None:
    for family in (events.CHAT_EVENTS, events.VOICE_EVENTS, events.PIPELINE_EVENTS):
        assert len(set(family)) == len(family)


def test_the_clock_is_in_whole_seconds() -> None:
    assert 1_700_000_000 < unix_now() < 2**33
