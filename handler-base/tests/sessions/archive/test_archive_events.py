"""What of a domain event becomes a message of the archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.messages import CHAT_EVENTS, PIPELINE_EVENTS, VOICE_EVENTS, DomainEvent
from handler_base.messages.subjects import CHAT_EVENT, PIPELINE_EVENT, VOICE_EVENT
from handler_base.sessions.archive.events import MESSAGE_SUBJECTS, archived_message
from handler_base.sessions.conversation import ChatMessage

STORED = datetime(2030, 5, 1, 12, 0, 1, tzinfo=UTC)
SAID = STORED - timedelta(milliseconds=877)

QUESTION = CHAT_EVENT.format(name="message_received")
ANSWER = CHAT_EVENT.format(name="response_generated")


def event(**fields: object) -> DomainEvent:
    told = {
        "id": "ann/r1/message_received",
        "name": "message_received",
        "occurred_at": "2030-05-01T12:00:00.123Z",
        "user_id": "ann",
        "session_id": "s1",
        "request_id": "r1",
        "data": {"text": "When does the ferry leave?"},
        **fields,
    }
    return DomainEvent(**told)  # type: ignore[arg-type]  # checked by the assertions


def message(subject: str = QUESTION, **fields: object) -> ChatMessage:
    made = archived_message(subject, event(**fields), position=7, stored_at=STORED)
    assert made is not None
    return made


def test_a_question_becomes_a_message_of_the_user() -> None:
    data = {"text": "When?", "username": "Ann", "premium": True, "language": "en"}
    assert message(data=data) == ChatMessage(
        id="ann/r1/message_received",
        user_id="ann",
        session_id="s1",
        role="user",
        content="When?",
        request_id="r1",
        position=7,
        created_at=SAID,
        kind="chat",
        username="Ann",
        premium=True,
    )


def test_an_answer_becomes_a_message_of_the_assistant() -> None:
    data = {
        "text": "At nine.",
        "model": "m",
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "used_rag": True,
        "sources": 2,
        "latency_ms": 12.5,
        "status": "cancelled",
        "premium": False,
    }
    assert message(ANSWER, id="ann/r1/response_generated", data=data) == ChatMessage(
        id="ann/r1/response_generated",
        user_id="ann",
        session_id="s1",
        role="assistant",
        content="At nine.",
        request_id="r1",
        position=7,
        created_at=SAID,
        kind="chat",
        model="m",
        prompt_tokens=11,
        completion_tokens=5,
        status="cancelled",
        latency_ms=12.5,
    )


@pytest.mark.parametrize(
    ("name", "role"),
    [("request_received", "user"), ("transcription_completed", "user"), ("llm_response_generated", "assistant")],
)
def test_what_is_spoken_is_archived_too(name: str, role: str) -> None:
    spoken = message(VOICE_EVENT.format(name=name))
    assert (spoken.kind, spoken.role) == ("voice", role)


@pytest.mark.parametrize(
    ("name", "data"),
    [("request_received", {"bytes": 5, "format": "wav"}), ("transcription_completed", {"characters": 5, "number": 0})],
)
def test_steps_of_a_spoken_question_that_tell_no_text_are_no_messages(name: str, data: dict[str, object]) -> None:
    told = event(user_id="", session_id="live-1", data=data)
    assert archived_message(VOICE_EVENT.format(name=name), told, position=7, stored_at=STORED) is None


def test_an_answer_without_text_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        message(VOICE_EVENT.format(name="llm_response_generated"), data={"model": "m"})


def test_a_question_without_a_session_is_a_conversation_of_its_own() -> None:
    assert message(session_id="").session_id == "r1"


def test_a_person_without_a_name_can_be_archived() -> None:
    assert message(user_id="", id="-/r1/message_received").user_id == ""


def test_no_other_event_tells_of_a_message() -> None:
    every = {
        subject.format(name=name)
        for subject, names in (
            (CHAT_EVENT, CHAT_EVENTS),
            (VOICE_EVENT, VOICE_EVENTS),
            (PIPELINE_EVENT, PIPELINE_EVENTS),
        )
        for name in names
    }
    assert every > set(MESSAGE_SUBJECTS)
    for subject in every - set(MESSAGE_SUBJECTS):
        with pytest.raises(InvalidRequestError):
            message(subject)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {}},
        {"data": {"text": None}},
        {"data": {"text": 5}},
        {"id": ""},
        {"id": "a\nb"},
        {"session_id": "", "request_id": ""},
        {"user_id": "x" * 1000},
    ],
    ids=str,
)
def test_an_event_that_tells_of_no_message_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        message(QUESTION, **fields)


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ("2030-05-01T12:00:00.123Z", SAID),
        ("2030-05-01T14:00:00.123+02:00", SAID),
        ("2030-05-01T12:00:00.123", SAID),
        ("2031-01-01T00:00:00Z", STORED),
        ("", STORED),
        ("yesterday", STORED),
        ("0001-01-01T00:00:00+14:00", STORED),
    ],
)
def test_a_message_has_a_time_that_is_not_in_the_future(told: str, moment: datetime) -> None:
    created_at = message(occurred_at=told).created_at
    assert created_at == moment
    assert created_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("count", [True, -1, "5", None, float("nan"), float("inf"), 2**62, 3.9])
def test_counts_are_counts(count: object) -> None:
    answer = message(ANSWER, data={"text": "x", "prompt_tokens": count, "latency_ms": count})
    assert 0 <= answer.prompt_tokens < 2**31
    assert 0 <= answer.latency_ms <= 2**62


values = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text())


@given(
    subject=st.sampled_from(MESSAGE_SUBJECTS),
    fields=st.fixed_dictionaries(
        {},
        optional={
            **{name: st.text() for name in ("id", "occurred_at", "user_id", "session_id", "request_id")},
            "data": st.dictionaries(
                st.sampled_from(["text", "username", "model", "prompt_tokens", "latency_ms", "status", "premium"]),
                values,
            ),
        },
    ),
)
def test_any_event_is_a_storable_message_or_refused(subject: str, fields: dict[str, object]) -> None:
    try:
        made = archived_message(subject, event(**fields), position=7, stored_at=STORED)
    except InvalidRequestError:
        return
    if made is None:
        return
    assert "\0" not in made.content + made.username + made.model + made.status
    assert made.session_id
    assert made.created_at <= STORED
