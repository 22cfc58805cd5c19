from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.clients import sse
from handler_base.clients.sse import EventStream, LineStream
from handler_base.errors import UpstreamError

TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@given(st.lists(st.tuples(TEXT, ENDS), max_size=8), TEXT, st.lists(st.integers(0, 1000), max_size=12))
def test_lines_do_not_depend_on_where_the_bytes_are_cut(
    lines: list[tuple[str, str]], rest: str, places: list[int]
) -> None:
    # A CR that is followed by a line of its own beginning with LF would be one CRLF.
    data = "".join(text + ("\n" if end == "\r" and text == "" else end) for text, end in lines) + rest
    stream = LineStream()
    found = [line for part in cut(data.encode(), places) for line in stream.feed(part)] + stream.end()
    whole = LineStream()
    assert found == whole.feed(data.encode()) + whole.end()


@given(
    st.lists(st.tuples(st.lists(TEXT, min_size=1, max_size=3), st.booleans()), max_size=6),
    ENDS,
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_events_do_not_depend_on_where_the_bytes_are_cut(
    events: list[tuple[list[str], bool]], end: str, places: list[int]
) -> None:
    data = ""
    for lines, noisy in events:
        if noisy:
            data += f": comment{end}event: message{end}id: 7{end}retry: 10{end}"
        data += "".join(f"data: {line}{end}" for line in lines) + end
    stream = EventStream()
    found = [event for part in cut(data.encode(), places) for event in stream.feed(part)] + stream.end()
    assert found == ["\n".join(lines).encode() for lines, _ in events]


def test_the_blank_after_the_colon_may_be_missing_and_only_one_is_cut() -> None:
    assert EventStream().feed(b"data:1\n\ndata: 2\n\ndata:  3\n\n") == [b"1", b"2", b" 3"]


def test_an_event_without_data_is_none() -> None:
    assert EventStream().feed(b": ping\n\nevent: ping\n\n\n\n") == []


def test_the_end_completes_an_event() -> None:
    stream = EventStream()
    assert stream.feed(b"data: 1\n\ndata: 2") == [b"1"]
    assert stream.end() == [b"2"]


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_LONGEST_LINE", 100)
    stream = LineStream()
    stream.feed(b"x" * 60)
    with pytest.raises(UpstreamError):
        stream.feed(b"x" * 60)
