"""Every message through both encodings, and past the independent implementations of them."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.errors import InternalError, InvalidRequestError
from handler_base.messages import (
    MESSAGES,
    ChatRequest,
    ChatResponse,
    DomainEvent,
    Encoding,
    Message,
    Usage,
    VoiceRequest,
    decode,
    detect,
    encode,
)
from handler_base.messages.proto import messages_pb2
from handler_base.testing.strategies import messages

every_message = pytest.mark.parametrize("schema", MESSAGES, ids=lambda schema: schema.__name__)


@every_message
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_messagepack_round_trip(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema))
    payload = encode(message)
    assert decode(schema, payload) == message
    assert detect(payload) is Encoding.MSGPACK


@every_message
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_protobuf_round_trip(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=False))
    payload = encode(message, Encoding.PROTOBUF)
    assert decode(schema, payload, Encoding.PROTOBUF) == message
    assert detect(payload) is Encoding.PROTOBUF


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_no_protobuf_encoding_begins_like_a_messagepack_map(schema: type[Message], data: st.DataObject) -> None:
    payload = encode(data.draw(messages(schema)), Encoding.PROTOBUF)
    assert detect(payload) is Encoding.PROTOBUF


@every_message
def test_no_field_can_begin_a_message_like_a_messagepack_map(schema: type[Message]) -> None:
    """Whichever field a peer writes first, and as whichever wire type."""
    for field in getattr(messages_pb2, schema.__name__).DESCRIPTOR.fields:
        for wire_type in (0, 1, 2, 5):
            tag = field.number << 3 | wire_type
            first = tag & 0x7F | (0x80 if tag > 0x7F else 0)
            assert detect(bytes([first])) is Encoding.PROTOBUF, field.name


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_from_one_encoding_to_the_other_and_back(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=False))
    through = decode(schema, encode(message), Encoding.MSGPACK)
    assert decode(schema, encode(through, Encoding.PROTOBUF), Encoding.PROTOBUF) == message


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_whatever_one_encoding_takes_the_other_can_carry(schema: type[Message], data: st.DataObject) -> None:
    message = decode(schema, encode(data.draw(messages(schema))))
    assert isinstance(decode(schema, encode(message, Encoding.PROTOBUF), Encoding.PROTOBUF), schema)


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_an_independent_reader_of_messagepack_sees_the_same(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema))
    assert msgpack.unpackb(encode(message)) == msgspec.to_builtins(message, builtin_types=(bytes,))


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_an_independent_writer_of_messagepack_is_understood(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema))
    assert decode(schema, msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)))) == message


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_an_independent_reader_of_protobuf_sees_the_same(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=False))
    parsed = getattr(messages_pb2, schema.__name__).FromString(encode(message, Encoding.PROTOBUF))
    for name in schema.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, str | bytes | int | float):
            assert getattr(parsed, name) == value
        elif isinstance(value, list):
            assert len(getattr(parsed, name)) == len(value)


@every_message
def test_field_names_are_those_of_the_proto_file(schema: type[Message]) -> None:
    proto = getattr(messages_pb2, schema.__name__)
    assert [field.name for field in proto.DESCRIPTOR.fields] == list(schema.__struct_fields__)


def test_the_proto_file_has_these_messages_and_no_others() -> None:
    assert set(messages_pb2.DESCRIPTOR.message_types_by_name) == {schema.__name__ for schema in MESSAGES}


@every_message
@pytest.mark.parametrize("encoding", Encoding)
def test_unknown_fields_are_ignored(schema: type[Message], encoding: Encoding) -> None:
    unknown = {
        Encoding.MSGPACK: msgpack.packb({"never_heard_of": [1, {"a": b""}]}),
        Encoding.PROTOBUF: b"\xf2\x7f\x03abc",  # number 2046
    }
    assert decode(schema, unknown[encoding], encoding) == decode(
        schema, {**unknown, Encoding.PROTOBUF: b""}[encoding], encoding
    )


@pytest.mark.parametrize("name", ["enable_rag", "enable_reranker", "enable_streaming"])
def test_false_stays_false_in_protobuf(name: str) -> None:
    assert getattr(decode(ChatRequest, b"", Encoding.PROTOBUF), name) is False


def test_nothing_sent_is_the_default_in_messagepack() -> None:
    chat = decode(ChatRequest, b"\x80")
    assert (chat.enable_rag, chat.enable_reranker, chat.enable_streaming) == (True, True, None)
    assert (chat.top_k, chat.rerank_top_k, chat.language, chat.collection) == (5, 3, "", "")


def test_an_old_peers_silence_is_the_default_in_protobuf() -> None:
    voice = decode(VoiceRequest, b"", Encoding.PROTOBUF)
    assert (voice.enable_rag, voice.format, voice.sample_rate, voice.language) == (True, "wav", 16000, "")
    chat = decode(ChatRequest, b"", Encoding.PROTOBUF)
    assert (chat.top_k, chat.rerank_top_k, chat.language, chat.collection) == (5, 3, "", "")


def test_an_explicit_false_of_an_added_field_is_kept() -> None:
    payload = encode(VoiceRequest(enable_rag=False), Encoding.PROTOBUF)
    assert decode(VoiceRequest, payload, Encoding.PROTOBUF).enable_rag is False


def test_a_message_within_is_present_even_when_empty() -> None:
    payload = encode(ChatResponse(usage=Usage()), Encoding.PROTOBUF)
    assert decode(ChatResponse, payload, Encoding.PROTOBUF).usage == Usage()
    assert decode(ChatResponse, b"", Encoding.PROTOBUF).usage is None


def test_event_data_that_is_no_map_is_invalid() -> None:
    body = messages_pb2.DomainEvent(data=msgpack.packb([1])).SerializeToString()
    with pytest.raises(InvalidRequestError):
        decode(DomainEvent, body, Encoding.PROTOBUF)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2.0**40, float("nan"), float("inf")])
def test_what_protobuf_could_not_carry_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequestError):
        decode(ChatRequest, msgpack.packb({"top_k": value}))


@pytest.mark.parametrize("encoding", Encoding)
def test_what_cannot_be_written_is_an_internal_error_without_words(encoding: Encoding) -> None:
    with pytest.raises(InternalError) as caught:
        encode(ChatRequest(message="half a pair: \ud800"), encoding)
    assert "ud800" not in caught.value.message


def test_a_number_too_large_for_protobuf_is_an_internal_error() -> None:
    with pytest.raises(InternalError):
        encode(ChatRequest(top_k=2**40), Encoding.PROTOBUF)
