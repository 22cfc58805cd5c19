from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.nats_client.headers import decode_headers, encode_headers, header

names = st.text(st.sampled_from("abcXYZ-_0129!#"), min_size=1, max_size=20)
values = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40).map(str.strip)


@given(st.dictionaries(names, values, max_size=6))
def test_what_is_encoded_is_read_again(headers: dict[str, str]) -> None:
    assert decode_headers(encode_headers(headers)) == (0, "", headers)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_value_starts_a_line_of_its_own(value: str) -> None:
    block = encode_headers({"A": value, "B": "b"})
    assert block.count(b"\r\n") == 4
    assert decode_headers(block)[2]["B"] == "b"


@given(st.binary(max_size=200))
def test_no_block_of_bytes_is_too_odd_to_read(block: bytes) -> None:
    status, description, headers = decode_headers(block)
    assert 0 <= status <= 999
    assert isinstance(description, str)
    assert all(name and not any(map(str.isspace, name)) for name in headers)


@given(st.integers(100, 999), st.text(st.sampled_from("abc XYZ"), max_size=20).map(str.strip), st.integers(0, 99))
def test_a_status_line_is_read_with_its_headers(status: int, description: str, left: int) -> None:
    block = f"NATS/1.0 {status} {description}\r\nNats-Pending-Messages: {left}\r\n\r\n".encode()
    assert decode_headers(block) == (status, description, {"Nats-Pending-Messages": str(left)})


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"NATS/1.0 503\r\n\r\n", (503, "", {})),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Stream: 7\r\n\r\n",
            (100, "Idle Heartbeat", {"Nats-Last-Stream": "7"}),
        ),
        (b"NATS/1.0 abc\r\n\r\n", (0, "", {})),
        (b"NATS/1.0\r\nA:1\r\nA: 2\r\n\r\n", (0, "", {"A": "1"})),
        (b"NATS/1.0\r\nA: caf\xc3\xa9\r\nB: \xff\r\nno colon\r\nx y: 1\r\n\r\n", (0, "", {"A": "café", "B": "\ufffd"})),
    ],
)
def test_blocks_of_the_server(block: bytes, expected: tuple[int, str, dict[str, str]]) -> None:
    assert decode_headers(block) == expected


def test_numbers_are_values_too() -> None:
    assert decode_headers(encode_headers({"Deadline-Ms": 1500}))[2] == {"Deadline-Ms": "1500"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        encode_headers({name: "1"})


def test_names_are_found_in_any_case() -> None:
    assert header({"TraceParent": "1"}, "traceparent") == "1"
    assert header({"a": "1"}, "a") == "1"
    assert header({"a": "1"}, "b") is None
    assert header(None, "a") is None
