"""Bodies made to crash, stall or bloat whoever reads them."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.messages import (
    MESSAGES,
    ChatRequest,
    ChatResponse,
    Encoding,
    Message,
    PipelineTrigger,
    VoiceRequest,
    VoiceResponse,
    decode,
    encode,
)
from handler_base.messages.proto import messages_pb2

SIZE = 2 * 1024 * 1024
ONE_EMOJI = "a" * SIZE + "\U0001f600"

every_message = pytest.mark.parametrize("schema", MESSAGES, ids=lambda schema: schema.__name__)

MSGPACK_BODIES: dict[str, tuple[type[Message], bytes]] = {
    "no bytes": (ChatRequest, b""),
    "nil": (ChatRequest, b"\xc0"),
    "a list": (ChatRequest, b"\x93\x01\x02\x03"),
    "text": (ChatRequest, b"\xa5hello"),
    "never-used byte": (ChatRequest, b"\xc1"),
    "cut short": (ChatRequest, encode(ChatRequest(message="hello"))[:-3]),
    "one byte more": (ChatRequest, encode(ChatRequest(message="hello")) + b"\x00"),
    "a second message": (ChatRequest, encode(ChatRequest(message="hello")) * 2),
    "keys that are numbers": (ChatRequest, msgpack.packb({1: 2})),
    "keys that are lists": (ChatRequest, b"\x81\x91\x01\x01"),
    "text that is not UTF-8": (ChatRequest, b"\x81\xa7message\xa2\xff\xfe"),
    "half a surrogate pair": (ChatRequest, b"\x81\xa7message\xa3\xed\xa0\x80"),
    "extension type": (ChatRequest, b"\x81\xa7message" + msgpack.packb(msgpack.ExtType(5, b"abc"))),
    "timestamp type": (ChatRequest, b"\x81\xa7message\xd6\xff\x00\x00\x00\x01"),
    "a number of 64 bits": (ChatRequest, msgpack.packb({"top_k": 2**64 - 1})),
    "nested lists": (ChatRequest, b"\x81\xa7message" + b"\x91" * SIZE),
    "nested lists under an unknown key": (ChatRequest, b"\x81\xa1x" + b"\x91" * SIZE),
    "nested maps": (ChatRequest, b"\x81\xa8metadata" + b"\x81\xa1a" * (SIZE // 3)),
    "nested lists as audio": (VoiceRequest, b"\x81\xa5audio" + b"\x91" * SIZE),
    "text said to be 4 GiB": (ChatRequest, b"\x81\xa7message\xdb\xff\xff\xff\xff" + b"a" * SIZE),
    "bytes said to be 4 GiB": (VoiceRequest, b"\x81\xa5audio\xc6\xff\xff\xff\xff" + b"a" * SIZE),
    "map said to have 4 G entries": (ChatRequest, b"\xdf\xff\xff\xff\xff" + b"\xa1a\xc0" * 1000),
    "list said to have 4 G items": (ChatResponse, b"\x81\xabrag_sources\xdd\xff\xff\xff\xff" + b"\xa0" * SIZE),
    "metadata of many entries": (ChatRequest, msgpack.packb({"metadata": {str(n): "" for n in range(20_000)}})),
    "parameters of many entries": (PipelineTrigger, msgpack.packb({"parameters": {str(n): n for n in range(20_000)}})),
    "list of many texts": (ChatResponse, msgpack.packb({"rag_sources": [""] * SIZE})),
    "list of many empty maps": (ChatResponse, msgpack.packb({"sources": [{}] * SIZE})),
    "numbers as audio": (VoiceRequest, msgpack.packb({"audio": [1] * SIZE})),
    "audio that is no base64": (VoiceRequest, msgpack.packb({"audio": ONE_EMOJI})),
    "long text with one emoji": (VoiceRequest, msgpack.packb({"language": ONE_EMOJI})),
    "long text with one emoji, twice": (
        VoiceRequest,
        b"\x82" + 2 * (msgpack.packb("language") + msgpack.packb(ONE_EMOJI)),
    ),
    "a number in a long text": (VoiceRequest, msgpack.packb({"sample_rate": "9" * SIZE})),
    "one key many times": (VoiceRequest, b"\xdf\x00\x03\x00\x00" + b"\xa8language\xa0" * 0x30000),
    "many unknown keys": (VoiceRequest, msgpack.packb({str(n): 0 for n in range(200_000)})),
}

PROTOBUF_BODIES: dict[str, tuple[type[Message], bytes]] = {
    "text": (ChatRequest, b"hello there"),
    "JSON": (ChatRequest, b'{"message": "hello"}'),
    "cut short": (ChatRequest, messages_pb2.ChatRequest(message="hello").SerializeToString()[:-3]),
    "a byte more": (ChatRequest, messages_pb2.ChatRequest(message="hello").SerializeToString() + b"\x00"),
    "text that is not UTF-8": (ChatRequest, b"\x22\x02\xff\xfe"),
    "endless number": (ChatRequest, b"\x50" + b"\xff" * 100),
    "field number zero": (ChatRequest, b"\x02\x01a"),
    "nested groups": (ChatRequest, b"\x0b" * SIZE),
    "text said to be 4 GiB": (ChatRequest, b"\x22\xff\xff\xff\xff\x0f" + b"a" * SIZE),
    "long body cut short": (ChatRequest, messages_pb2.ChatRequest(message="a" * SIZE).SerializeToString()[:-3]),
    "long body that ends in a tag": (
        VoiceRequest,
        messages_pb2.VoiceRequest(audio=b"a" * SIZE).SerializeToString() + b"\x0a",
    ),
    "metadata of many entries": (ChatRequest, b"\xba\x06\x00" * 20_000),
    "metadata of a few hundred entries": (
        ChatRequest,
        messages_pb2.ChatRequest(metadata={str(number): "" for number in range(300)}).SerializeToString(),
    ),
    "parameters of many entries": (PipelineTrigger, b"\x1a\x00" * 32_000),
    "many empty sources": (VoiceResponse, b"\x2a\x00" * (SIZE // 2)),
    "one number many times": (VoiceRequest, b"\xb8\x06\x01" * (SIZE // 3)),
    "many unknown numbers": (VoiceRequest, b"\xf8\x7f\x01" * (SIZE // 3)),
    "long text with one emoji": (VoiceRequest, messages_pb2.VoiceRequest(language=ONE_EMOJI).SerializeToString()),
}


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", MSGPACK_BODIES)
def test_a_hostile_messagepack_body_is_refused_in_little_memory(name: str, memory: None) -> None:
    schema, body = MSGPACK_BODIES[name]
    _refuse(schema, b"\x91", Encoding.MSGPACK)  # what is made once a message type is made before
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    _refuse(schema, body, Encoding.MSGPACK)
    assert tracemalloc.get_traced_memory()[1] - before < max(2 * len(body), 64 * 1024)


@pytest.mark.parametrize("name", PROTOBUF_BODIES)
def test_a_hostile_protobuf_body_is_refused(name: str) -> None:
    _refuse(*PROTOBUF_BODIES[name], Encoding.PROTOBUF)


def _refuse(schema: type[Message], body: bytes, encoding: Encoding) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode(schema, body, encoding)
    assert caught.value.message == f"The body is not a valid {schema.__name__}."


READ_IN_A_PROCESS = """
import resource, sys
from pathlib import Path
from handler_base import messages
from handler_base.errors import InvalidRequestError

schema, encoding, path = sys.argv[1:]
schema, encoding = getattr(messages, schema), messages.Encoding(encoding)
messages.decode(schema, messages.encode(schema(), encoding), encoding)
body = Path(path).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    messages.decode(schema, body, encoding)
    outcome = "read"
except InvalidRequestError:
    outcome = "refused"
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(outcome, grown * 1024 / len(body))
"""


LARGE = 16 * 1024 * 1024
AUDIO = b"\xff" * LARGE
LARGE_TEXT = b"a" * LARGE + "\U0001f600".encode()


LARGE_BODIES: dict[str, tuple[type[Message], Encoding, bytes, str]] = {
    "unknown numbers": (VoiceRequest, Encoding.PROTOBUF, b"\xf8\x7f\x01" * (LARGE // 3), "refused"),
    "text with an emoji": (VoiceRequest, Encoding.PROTOBUF, b"\x1a\x84\x80\x80\x08" + LARGE_TEXT, "refused"),
    "empty sources": (VoiceResponse, Encoding.PROTOBUF, b"\x2a\x00" * (LARGE // 2), "refused"),
    "empty parameters": (PipelineTrigger, Encoding.PROTOBUF, b"\x1a\x00" * (LARGE // 2), "refused"),
    "audio": (VoiceRequest, Encoding.PROTOBUF, b"\x12\x80\x80\x80\x08" + AUDIO, "read"),
    "audio in MessagePack": (VoiceRequest, Encoding.MSGPACK, b"\x81\xa5audio\xc6\x01\x00\x00\x00" + AUDIO, "read"),
    "audio as text": (
        VoiceRequest,
        Encoding.MSGPACK,
        b"\x81\xa5audio\xdb\x01\x00\x00\x00" + b"QUJD" * (LARGE // 4),
        "read",
    ),
    "emoji in MessagePack": (
        VoiceRequest,
        Encoding.MSGPACK,
        b"\x81\xa8language\xdb\x01\x00\x00\x04" + LARGE_TEXT,
        "refused",
    ),
}


@pytest.mark.parametrize("name", LARGE_BODIES)
def test_a_large_body_takes_less_than_three_times_its_size(name: str, tmp_path: Path) -> None:
    """In a process of its own: the Protocol Buffers runtime's memory is not Python's."""
    schema, encoding, body, outcome = LARGE_BODIES[name]
    path = tmp_path / "body"
    path.write_bytes(body)
    command = [sys.executable, "-c", READ_IN_A_PROCESS, schema.__name__, encoding, str(path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seen, times = result.stdout.split()
    assert seen == outcome
    assert float(times) < 2, "with the body itself, three times its size"


@pytest.mark.parametrize("encoding", Encoding)
def test_large_bodies_that_are_honest_are_read(encoding: Encoding) -> None:
    asked = VoiceRequest(audio=b"\xff" * SIZE, language="de", request_id="r", sample_rate=48000)
    assert decode(VoiceRequest, encode(asked, encoding), encoding) == asked
    answered = ChatResponse(
        response="ascii " * 100_000, audio=b"\xff" * SIZE, rag_sources=["ä" * 1000] * 20, timings_ms={"a": 1.5}
    )
    assert decode(ChatResponse, encode(answered, encoding), encoding) == answered


@every_message
@given(body=st.binary(max_size=200), encoding=st.sampled_from(Encoding))
@settings(max_examples=30, deadline=None)
def test_any_bytes_are_a_message_or_an_invalid_request(schema: type[Message], body: bytes, encoding: Encoding) -> None:
    try:
        message: Message | None = decode(schema, body, encoding)
    except InvalidRequestError:
        message = None
    assert message is None or isinstance(message, schema)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@every_message
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_any_values_in_known_fields_are_a_message_or_an_invalid_request(
    schema: type[Message], data: st.DataObject
) -> None:
    names = st.sampled_from([*schema.__struct_fields__, "audio_b64"])
    body = data.draw(st.dictionaries(names, values, max_size=4))
    try:
        message = decode(schema, msgpack.packb(body, unicode_errors="surrogatepass"))
    except InvalidRequestError:
        return
    assert decode(schema, encode(message)) == message or message != message  # noqa: PLR0124 - NaN
    assert isinstance(decode(schema, encode(message, Encoding.PROTOBUF), Encoding.PROTOBUF), schema)


def test_of_a_key_sent_twice_the_last_counts() -> None:
    assert decode(ChatRequest, b"\x82\xa7message\xa1a\xa7message\xa1b").message == "b"
