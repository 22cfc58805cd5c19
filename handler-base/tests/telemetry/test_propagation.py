from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.telemetry import SpanContext, extract, inject, start_span, use_span
from handler_base.telemetry.spans import RecordingSpan

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"


def test_reads_a_well_formed_header() -> None:
    assert extract({"traceparent": HEADER}) == SpanContext(TRACE, SPAN, sampled=True, remote=True)


@pytest.mark.parametrize("name", ["Traceparent", "TRACEPARENT", "traceParent"])
def test_header_names_are_read_in_any_case(name: str) -> None:
    context = extract({"Content-Type": "x", name: HEADER, "TraceState": "a=1"})
    assert context is not None
    assert context.trace_id == TRACE
    assert context.trace_state == "a=1"


def test_unsampled_flag_is_kept() -> None:
    context = extract({"traceparent": f"00-{TRACE}-{SPAN}-00"})
    assert context is not None
    assert not context.sampled


def test_a_later_version_may_have_more_parts() -> None:
    context = extract({"traceparent": f"cc-{TRACE}-{SPAN}-09-what-the-future-brings"})
    assert context is not None
    assert context.sampled


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}_-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE}-{SPAN}-01\n",
        "00-" + "٣" * 32 + f"-{SPAN}-01",
    ],
)
def test_a_malformed_header_is_ignored(value: str) -> None:
    assert extract({"traceparent": value}) is None


@pytest.mark.parametrize("headers", [None, {}, {"tracestate": "a=1"}])
def test_no_header_is_no_context(headers: dict[str, str] | None) -> None:
    assert extract(headers) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (" a=1 , ,b@c=2 ", "a=1,b@c=2"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=1=2", ""),
        ("a=\r\nInjected: yes", ""),
        ("a=é", ""),
        (",".join(f"k{number}=1" for number in range(33)), ""),
        (",".join(f"k{number}=1" for number in range(32)), ",".join(f"k{number}=1" for number in range(32))),
        ("a=" + "x" * 600, ""),
    ],
)
def test_only_a_well_formed_tracestate_is_passed_on(state: str, kept: str) -> None:
    context = extract({"traceparent": HEADER, "tracestate": state})
    assert context is not None
    assert context.trace_state == kept


@given(
    trace=st.integers(1, 2**128 - 1),
    span=st.integers(1, 2**64 - 1),
    sampled=st.booleans(),
    state=st.sampled_from(["", "a=1"]),
)
def test_what_is_injected_is_extracted(trace: int, span: int, sampled: bool, state: str) -> None:
    context = SpanContext(f"{trace:032x}", f"{span:016x}", sampled, state, remote=True)
    headers: dict[str, str] = {}
    inject(headers, context)
    assert extract(headers) == context


@given(st.dictionaries(st.sampled_from(["traceparent", "TraceParent", "tracestate", "TRACESTATE"]), st.text()))
def test_no_header_raises(headers: dict[str, str]) -> None:
    context = extract(headers)
    assert context is None or int(context.trace_id, 16) > 0


@given(st.text(alphabet="0123456789abcdefABCDEF-", min_size=50, max_size=60))
def test_what_looks_like_a_header_never_gives_bad_ids(value: str) -> None:
    context = extract({"traceparent": value})
    if context is not None:
        assert len(context.trace_id) == 32
        assert len(context.span_id) == 16
        assert int(context.trace_id, 16)
        assert int(context.span_id, 16)


def test_nothing_is_injected_without_a_trace() -> None:
    headers: dict[str, str] = {}
    inject(headers)
    assert headers == {}


def test_a_trace_from_outside_is_passed_on_while_tracing_is_off() -> None:
    context = extract({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"})
    headers: dict[str, str] = {}
    with start_span("process", parent=context), start_span("child"):
        inject(headers)
    assert headers == {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}


def test_the_current_span_is_injected(ended: list[RecordingSpan]) -> None:
    headers: dict[str, str] = {}
    span = start_span("process", parent=extract({"traceparent": HEADER}))
    with use_span(span):
        inject(headers)
    span.end()
    assert headers["traceparent"] == f"00-{TRACE}-{ended[0].span_id}-01"
    assert ended[0].span_id != SPAN
