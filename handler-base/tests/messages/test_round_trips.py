"""Every message through both encodings, and past the independent implementations of them."""

from __future__ import annotations

from typing import Any, get_args

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.messages import MESSAGES, ChatRequest, DomainEvent, Encoding, Message, decode, detect, encode
from handler_base.messages.proto import messages_pb2

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number32 = st.integers(-(2**31), 2**31 - 1)
number64 = st.integers(-(2**63), 2**63 - 1)
SCALARS: dict[object, st.SearchStrategy[Any]] = {
    str: text,
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    bytes: st.binary(max_size=50),
}


def values_of(kind: Any, *, zeroes: bool) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any annotation
    """A strategy for a field; without zeroes where the two encodings tell defaults apart by different rules."""
    if kind in SCALARS:
        strategy = SCALARS[kind]
        return strategy if zeroes or kind is bool else strategy.filter(bool)
    arguments = get_args(kind)
    if hasattr(kind, "__metadata__"):
        number = number32 if kind.__metadata__[0].le == 2**31 - 1 else number64
        return number if zeroes else number.filter(bool)
    if isinstance(kind, type) and issubclass(kind, Message):
        return messages(kind, zeroes=zeroes)
    if getattr(kind, "__origin__", None) is list:
        return st.lists(values_of(arguments[0], zeroes=True), max_size=3)
    if getattr(kind, "__origin__", None) is dict:
        value = arguments[1]
        items = (
            values_of(value, zeroes=True) if value in SCALARS else st.one_of(text, number64, st.none(), st.booleans())
        )
        return st.dictionaries(text, items, max_size=3)
    return values_of(next(argument for argument in arguments if argument is not type(None)), zeroes=zeroes)


def messages(schema: type[Message], *, zeroes: bool) -> st.SearchStrategy[Message]:
    fields = {field.name: values_of(field.type, zeroes=zeroes) for field in msgspec.structs.fields(schema)}
    return st.builds(schema, **fields)


every_message = pytest.mark.parametrize("schema", MESSAGES, ids=lambda schema: schema.__name__)


@every_message
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_messagepack_round_trip(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=True))
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
def test_from_one_encoding_to_the_other_and_back(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=False))
    through = decode(schema, encode(message), Encoding.MSGPACK)
    assert decode(schema, encode(through, Encoding.PROTOBUF), Encoding.PROTOBUF) == message


@every_message
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_an_independent_reader_of_messagepack_sees_the_same(schema: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(schema, zeroes=True))
    assert msgpack.unpackb(encode(message), strict_map_key=False) == msgspec.to_builtins(
        message, builtin_types=(bytes,)
    )


@every_message
def test_field_names_are_those_of_the_proto_file(schema: type[Message]) -> None:
    proto = getattr(messages_pb2, schema.__name__)
    assert [field.name for field in proto.DESCRIPTOR.fields] == list(schema.__struct_fields__)


@every_message
def test_unknown_keys_are_ignored(schema: type[Message]) -> None:
    assert decode(schema, msgpack.packb({"never_heard_of": [1, {"a": b""}]})) == schema()


@every_message
@given(body=st.binary(max_size=200), encoding=st.sampled_from(Encoding))
@settings(max_examples=30, deadline=None)
def test_any_bytes_are_a_message_or_an_invalid_request(schema: type[Message], body: bytes, encoding: Encoding) -> None:
    try:
        message: Message | None = decode(schema, body, encoding)
    except InvalidRequestError:
        message = None
    assert message is None or isinstance(message, schema)


@pytest.mark.parametrize("name", ["enable_rag", "enable_reranker", "enable_streaming"])
def test_false_stays_false_in_protobuf(name: str) -> None:
    assert getattr(decode(ChatRequest, b"", Encoding.PROTOBUF), name) is False


def test_an_old_peers_silence_is_the_default_in_protobuf() -> None:
    from handler_base.messages import VoiceRequest

    voice = decode(VoiceRequest, b"", Encoding.PROTOBUF)
    assert (voice.enable_rag, voice.format, voice.sample_rate, voice.language) == (True, "wav", 16000, "en")
    chat = decode(ChatRequest, b"", Encoding.PROTOBUF)
    assert (chat.top_k, chat.rerank_top_k, chat.language) == (5, 3, "en")


def test_an_explicit_false_of_an_added_field_is_kept() -> None:
    from handler_base.messages import VoiceRequest

    payload = encode(VoiceRequest(enable_rag=False), Encoding.PROTOBUF)
    assert decode(VoiceRequest, payload, Encoding.PROTOBUF).enable_rag is False


def test_event_data_that_is_no_map_is_invalid() -> None:
    body = messages_pb2.DomainEvent(data=msgpack.packb([1])).SerializeToString()
    with pytest.raises(InvalidRequestError):
        decode(DomainEvent, body, Encoding.PROTOBUF)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2.0**40])
def test_what_protobuf_could_not_carry_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequestError):
        decode(ChatRequest, msgpack.packb({"top_k": value}))
