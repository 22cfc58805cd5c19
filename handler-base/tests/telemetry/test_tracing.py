from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError, RequestCancelledError
from handler_base.telemetry import SpanContext, SpanKind, current_span, error_type, names, span, start_span, use_span
from handler_base.telemetry.spans import MAX_EVENTS, RecordingSpan, SpanStatus
from handler_base.telemetry.tracing import Tracer

REMOTE = SpanContext(
    "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True, trace_state="a=1", remote=True
)


def test_tracing_off_gives_one_shared_span_that_does_nothing() -> None:
    first = start_span("a", attributes={"k": "v"})
    with first as entered, span("b") as second:
        assert entered is second is first
        second.set("k", 1)
        second.set_name("c")
        second.add_event("e")
        second.record_error(ValueError("x"))
        assert current_span() is first
    assert not first.recording
    assert first.context is None
    first.end()


def test_children_follow_the_current_span(ended: list[RecordingSpan]) -> None:
    with span("parent") as parent:
        assert current_span() is parent
        with span("child", kind=SpanKind.CLIENT, attributes={"k": "v"}) as child:
            assert child.recording
            child.set("n", 1)
        assert current_span() is parent
    assert current_span().context is None
    child_record, parent_record = ended
    assert child_record.trace_id == parent_record.trace_id
    assert child_record.parent is not None
    assert child_record.parent.span_id == parent_record.span_id
    assert child_record.attributes == {"k": "v", "n": 1}
    assert child_record.kind is SpanKind.CLIENT
    assert parent_record.parent is None
    assert parent_record.start_ns <= child_record.start_ns <= child_record.end_ns <= parent_record.end_ns


def test_given_attributes_are_copied(ended: list[RecordingSpan]) -> None:
    shared = {"k": "v"}
    with span("a", attributes=shared) as current:
        current.set("more", "x")
    assert shared == {"k": "v"}
    assert ended[0].attributes == {"k": "v", "more": "x"}


def test_a_remote_parent_is_continued_and_none_begins_anew(ended: list[RecordingSpan]) -> None:
    with span("outer"), span("process", parent=REMOTE), span("other", parent=None):
        pass
    other, process, outer = ended
    assert process.trace_id == REMOTE.trace_id
    assert process.context.trace_state == "a=1"
    assert other.parent is None
    assert len({other.trace_id, process.trace_id, outer.trace_id}) == 3


def test_an_ended_span_does_not_change(ended: list[RecordingSpan]) -> None:
    current = start_span("a")
    current.end()
    end_ns = ended[0].end_ns
    current.end()
    current.set("k", 1)
    current.set_name("b")
    current.add_event("e")
    current.record_error(ValueError())
    assert len(ended) == 1
    assert ended[0].end_ns == end_ns
    assert ended[0].attributes == {}
    assert ended[0].name == "a"
    assert ended[0].events is None
    assert not current.recording


def test_an_error_is_told_by_type_and_never_by_its_words(ended: list[RecordingSpan]) -> None:
    with pytest.raises(ConnectionError), span("a"):
        raise ConnectionError("cannot reach nats://user:hunter2@host")
    (record,) = ended
    assert record.status is SpanStatus.ERROR
    assert record.attributes[names.ERROR_TYPE] == "ConnectionError"
    assert record.events is not None
    assert record.events[0].attributes[names.EXCEPTION_TYPE] == "ConnectionError"
    assert "hunter2" not in repr((record.status_message, record.events, record.attributes))


def test_a_typed_error_shows_its_safe_message(ended: list[RecordingSpan]) -> None:
    with pytest.raises(InvalidRequestError), span("a"):
        raise InvalidRequestError("top_k must be positive")
    (record,) = ended
    assert record.status_message == "top_k must be positive"
    assert record.attributes[names.ERROR_TYPE] == "invalid_request"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), RequestCancelledError()])
def test_a_cancellation_is_named_but_no_fault(ended: list[RecordingSpan], error: BaseException) -> None:
    start = start_span("a")
    start.record_error(error)
    start.end()
    assert ended[0].status == SpanStatus.UNSET
    assert ended[0].attributes == {names.ERROR_TYPE: "cancelled"}
    assert ended[0].events is None


def test_error_type_of_an_untyped_error_is_its_class() -> None:
    assert error_type(KeyError("k")) == "KeyError"


def test_events_are_bounded(ended: list[RecordingSpan]) -> None:
    with span("a") as current:
        for _ in range(MAX_EVENTS + 10):
            current.add_event("chunk")
    assert ended[0].events is not None
    assert len(ended[0].events) == MAX_EVENTS


def test_a_span_may_be_renamed_while_it_runs(ended: list[RecordingSpan]) -> None:
    with span("process") as current:
        current.set_name("process ai.chat.request")
    assert ended[0].name == "process ai.chat.request"


def test_the_wall_clock_going_back_gives_no_negative_time(
    ended: list[RecordingSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    current = start_span("a")
    monkeypatch.setattr("time.time_ns", lambda: 1)
    current.end()
    assert ended[0].end_ns == ended[0].start_ns


async def test_tasks_see_the_span_they_were_made_in(ended: list[RecordingSpan]) -> None:
    async def child(name: str) -> None:
        with span(name):
            await asyncio.sleep(0)

    with span("parent") as parent:
        await asyncio.gather(child("a"), child("b"))
    assert parent.context is not None
    assert {record.parent.span_id for record in ended if record.parent} == {parent.context.span_id}


async def test_a_generator_closed_elsewhere_ends_its_span(ended: list[RecordingSpan]) -> None:
    async def pieces() -> AsyncGenerator[int, None]:
        with span("stream"):
            yield 1
            yield 2

    async def step(generator: AsyncGenerator[int, None]) -> int:
        return await anext(generator)

    async def close(generator: AsyncGenerator[int, None]) -> None:
        await generator.aclose()

    generator = pieces()
    # A task has a context of its own, so the variable is set in one and reset in another.
    assert await asyncio.create_task(step(generator)) == 1
    await asyncio.create_task(close(generator))
    assert [record.name for record in ended] == ["stream"]
    assert current_span().context is None


def test_use_span_does_not_end_it(ended: list[RecordingSpan]) -> None:
    current = start_span("a")
    with use_span(current):
        assert current_span() is current
    assert current_span() is not current
    assert ended == []
    current.end()
    assert len(ended) == 1


def test_links_are_kept(ended: list[RecordingSpan]) -> None:
    with span("a", parent=None, links=[REMOTE]):
        pass
    assert ended[0].links == [REMOTE]


def test_an_unsampled_parent_silences_its_children(ended: list[RecordingSpan]) -> None:
    with span("a", parent=REMOTE._replace(sampled=False)) as parent, span("b") as child:
        assert not child.recording
        assert child.context == parent.context
    assert ended == []


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_extreme_ratios_are_exact(ratio: float) -> None:
    ended: list[RecordingSpan] = []
    tracer = Tracer(ended.append, ratio)
    for _ in range(200):
        tracer.start_span("a", SpanKind.INTERNAL, None, None, ()).end()
    assert len(ended) == 200 * ratio


def test_the_ratio_is_about_kept_and_whole_traces_go_together() -> None:
    ended: list[RecordingSpan] = []
    tracer = Tracer(ended.append, 0.25)
    for _ in range(4000):
        root = tracer.start_span("root", SpanKind.INTERNAL, None, None, ())
        tracer.start_span("child", SpanKind.INTERNAL, None, root.context, ()).end()
        root.end()
    assert 800 < len(ended) / 2 < 1200
    assert len({record.trace_id for record in ended}) == len(ended) / 2


@given(st.floats(0, 1))
def test_sampling_looks_at_the_low_half_of_the_trace_id(ratio: float) -> None:
    ended: list[RecordingSpan] = []
    tracer = Tracer(ended.append, ratio)
    span = tracer.start_span("a", SpanKind.INTERNAL, None, None, ())
    assert span.context is not None
    assert span.context.sampled is (int(span.context.trace_id[16:], 16) < round(ratio * 2**64))


def test_ids_are_unique_over_threads(ended: list[RecordingSpan]) -> None:
    def work() -> None:
        for _ in range(500):
            with span("a", parent=None):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.trace_id for record in ended}) == 2000
    assert all(len(record.trace_id) == 32 and len(record.span_id) == 16 for record in ended)
