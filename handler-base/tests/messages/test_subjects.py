from __future__ import annotations

import re
from itertools import combinations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.messages import MESSAGES, ErrorResponse, streams, subjects
from handler_base.messages.common import DocumentSource, Usage
from handler_base.messages.pipeline import Artifact
from handler_base.messages.streams import STREAMS
from handler_base.messages.subjects import (
    ALL,
    Subject,
    check_token,
    is_ingress,
    patterns_overlap,
    response_subject_allowed,
    subject_matches,
)
from handler_base.messages.tts import TTSVoiceInfo

SERVICES = {"chat-handler", "voice-assistant", "stt-module", "tts-module", "pipeline-bridge"}
LISTENED = [subject for subject in ALL if set(subject.receivers) & SERVICES]

token = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
word = st.sampled_from(["ai", "chat", "voice", "response", "request", "user", "dlq", "event", "tts", "x", "stream"])
concrete = st.lists(word | token, min_size=1, max_size=6).map(".".join)
pattern = st.builds(
    lambda parts, rest: ".".join([*parts, *rest]),
    st.lists(word | st.just("*"), min_size=1, max_size=5),
    st.sampled_from([[], [">"]]),
)
every_subject = pytest.mark.parametrize("subject", ALL, ids=lambda subject: subject.template)


def test_the_subjects_are_those_of_the_contract() -> None:
    assert {subject.template: [message.__name__ for message in subject.messages] for subject in ALL} == {
        "ai.chat.user.{user_id}.login": ["LoginEvent"],
        "ai.chat.user.{user_id}.greeting.request": ["GreetingRequest"],
        "ai.chat.user.{user_id}.greeting.response": ["GreetingResponse"],
        "ai.chat.user.{user_id}.message": ["ChatRequest"],
        "ai.chat.request": ["ChatRequest"],
        "ai.chat.response.{request_id}": ["ChatResponse"],
        "ai.chat.response.stream.{request_id}": ["ChatStreamChunk"],
        "ai.chat.cancel.{request_id}": ["CancelRequest"],
        "voice.request": ["VoiceRequest"],
        "ai.voice.request": ["VoiceRequest"],
        "ai.voice.user.{user_id}.request": ["VoiceRequest"],
        "voice.response.{request_id}": ["VoiceResponse"],
        "ai.voice.response.{request_id}": ["VoiceResponse"],
        "ai.voice.response.stream.{request_id}": ["VoiceStreamChunk"],
        "ai.voice.cancel.{request_id}": ["CancelRequest"],
        "ai.voice.floor.{replica_id}": ["VoiceFloor"],
        "ai.voice.stream.{session_id}": ["STTStreamMessage"],
        # Between the replicas of one service: nothing of a client's crosses it.
        "ai.voice.stt.replica.{replica}": ["STTStreamMessage"],
        "ai.voice.transcription.{session_id}": ["STTTranscription", "STTInterrupt"],
        "ai.voice.tts.request.{session_id}": ["TTSRequest"],
        "ai.voice.tts.audio.{session_id}": ["TTSAudioChunk", "TTSFullResponse"],
        "ai.voice.tts.status.{session_id}": ["TTSStatus"],
        "ai.voice.tts.cancel.{session_id}": ["CancelRequest"],
        "ai.voice.tts.voices.list": ["TTSVoiceListResponse"],
        "ai.voice.tts.voices.refresh": ["TTSVoiceRefreshResponse"],
        "ai.pipeline.trigger": ["PipelineTrigger"],
        "ai.pipeline.status.{request_id}": ["PipelineStatus"],
        "ai.pipeline.cancel.{request_id}": ["CancelRequest"],
        "ai.chat.event.{name}": ["DomainEvent"],
        "ai.voice.event.{name}": ["DomainEvent"],
        "ai.pipeline.event.{name}": ["DomainEvent"],
        "ai.dlq.{stream}.{consumer}": [],
    }


def test_every_message_crosses_a_subject_or_lies_in_one_that_does() -> None:
    crossing = {message for subject in ALL for message in subject.messages}
    within = {DocumentSource, Usage, Artifact, TTSVoiceInfo}
    assert crossing | within | {ErrorResponse} == set(MESSAGES)


@every_subject
def test_a_subject_has_publishers_and_receivers_that_exist(subject: Subject) -> None:
    assert subject.publishers
    assert subject.receivers
    assert set(subject.publishers) | set(subject.receivers) <= SERVICES | {"client"}
    assert set(subject.messages) | set(subject.replies) <= set(MESSAGES)
    assert subject.description.endswith(".")


@every_subject
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_format_and_match_are_inverse(subject: Subject, data: st.DataObject) -> None:
    tokens = {name: data.draw(token) for name in subject.placeholders}
    made = subject.format(**tokens)
    assert subject.match(made) == tokens
    assert subject_matches(subject.pattern, made)


@every_subject
@given(other=concrete)
@settings(max_examples=20)
def test_match_agrees_with_the_pattern(subject: Subject, other: str) -> None:
    assert (subject.match(other) is not None) == subject_matches(subject.pattern, other)


@given(value=st.text())
def test_a_token_is_refused_unless_it_is_of_the_alphabet(value: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", value):
        assert check_token("user_id", value) == value
    else:
        with pytest.raises(InvalidRequestError, match="user_id"):
            check_token("user_id", value)


@pytest.mark.parametrize("value", ["", "a.b", "*", ">", "a b", "a\n", "ä", "a" * 129, "$SYS", "a\x00"])
def test_a_token_that_would_change_the_subject_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        subjects.CHAT_RESPONSE.format(request_id=value)


@pytest.mark.parametrize(
    ("wanted", "given_subject", "matches"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.>", "a.b", True),
        ("*.>", "a", False),
    ],
)
def test_patterns_match_as_the_server_does(wanted: str, given_subject: str, matches: bool) -> None:
    assert subject_matches(wanted, given_subject) is matches


@given(one=pattern, other=pattern, subject=concrete)
def test_what_falls_under_two_patterns_makes_them_overlap(one: str, other: str, subject: str) -> None:
    assert patterns_overlap(one, other) == patterns_overlap(other, one)
    if subject_matches(one, subject) and subject_matches(other, subject):
        assert patterns_overlap(one, other)


@given(one=pattern, other=pattern)
def test_patterns_that_overlap_share_a_subject(one: str, other: str) -> None:
    assume(patterns_overlap(one, other))
    longest = max(len(one.split(".")), len(other.split(".")))
    alphabet = sorted({*one.split("."), *other.split("."), "zz"} - {"*", ">"})
    left, right = one.split("."), other.split(".")
    choices = [
        [part for part in alphabet if all(_fits(side, index, part) for side in (left, right))]
        for index in range(longest)
    ]
    assert any(
        subject_matches(one, shared) and subject_matches(other, shared)
        for length in range(1, longest + 1)
        for shared in map(".".join, product(*(parts[:1] for parts in choices[:length])))
    )


def _fits(parts: list[str], index: int, part: str) -> bool:
    if parts[-1] == ">" and index >= len(parts) - 1:
        return True
    return index < len(parts) and parts[index] in {part, "*"}


def test_no_two_subjects_overlap() -> None:
    """So that a message on a subject is of exactly one kind of question."""
    clashes = {
        (one.template, other.template)
        for one, other in combinations(ALL, 2)
        if patterns_overlap(one.pattern, other.pattern)
    }
    assert clashes == set()


def test_the_subjects_of_two_streams_never_overlap() -> None:
    owned = [(stream.name, wanted) for stream in STREAMS for wanted in stream.subjects]
    clashes = {(one, other) for one, other in combinations(owned, 2) if patterns_overlap(one[1], other[1])}
    assert clashes == set()


def test_streams_are_those_of_the_contract() -> None:
    assert [(stream.name, stream.max_age.total_seconds() / 60, stream.storage) for stream in STREAMS] == [
        ("COMPANIONS_LOGINS", 7 * 24 * 60, "file"),
        ("COMPANIONS_CHAT", 30 * 24 * 60, "file"),
        ("AI_CHAT_STREAM", 5, "memory"),
        ("AI_VOICE_STREAM", 60, "file"),
        ("AI_PIPELINE", 30 * 24 * 60, "file"),
        ("AI_EVENTS", 30 * 24 * 60, "file"),
        ("AI_DEAD_LETTER", 30 * 24 * 60, "file"),
    ]


@pytest.mark.parametrize("subject", [subjects.STT_STREAM, subjects.TTS_AUDIO], ids=lambda subject: subject.template)
def test_live_audio_is_in_no_stream(subject: Subject) -> None:
    assert not any(patterns_overlap(wanted, subject.pattern) for stream in STREAMS for wanted in stream.subjects)


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.CHAT_USER_MESSAGE, streams.COMPANIONS_CHAT),
        (subjects.CHAT_GREETING_REQUEST, streams.COMPANIONS_CHAT),
        (subjects.CHAT_LOGIN, streams.COMPANIONS_LOGINS),
        (subjects.CHAT_RESPONSE_STREAM, streams.AI_CHAT_STREAM),
        (subjects.VOICE_USER_REQUEST, streams.AI_VOICE_STREAM),
        (subjects.PIPELINE_TRIGGER, streams.AI_PIPELINE),
        (subjects.CHAT_EVENT, streams.AI_EVENTS),
        (subjects.VOICE_EVENT, streams.AI_EVENTS),
        (subjects.PIPELINE_EVENT, streams.AI_EVENTS),
        (subjects.DEAD_LETTER, streams.AI_DEAD_LETTER),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else value.template,
)
def test_kept_subjects_lie_in_their_stream(subject: Subject, stream: streams.StreamSpec) -> None:
    made = subject.format(**dict.fromkeys(subject.placeholders, "x"))
    assert any(subject_matches(wanted, made) for wanted in stream.subjects)


@pytest.mark.parametrize(
    "subject",
    ["_INBOX.abc.1", "_INBOX.a", "ai.chat.response.r-1", "ai.voice.response.stream.r", "ai.web.response.x.y.z"],
)
def test_response_subjects_that_are_allowed(subject: str) -> None:
    assert response_subject_allowed(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "_INBOX",
        "_INBOX.",
        "_INBOX.*",
        "_INBOX.>",
        "_INBOX.a b",
        "_INBOX.a\r\nPUB x 0",
        "_INBOX..a",
        "_INBOX." + "a" * 250,
        "ai.chat.response",
        "ai.chat.response.",
        "ai.chat.response.>",
        "ai.*.response.x",
        "ai.dlq.response.x",
        "ai.chat.request",
        "AI.chat.response.x",
        "voice.response.x",
        "$SYS.REQ.SERVER.PING",
        "$JS.API.STREAM.DELETE.AI_EVENTS",
        "$SRV.PING",
        "_INBOX.$JS",
    ],
)
def test_response_subjects_that_are_refused(subject: str) -> None:
    assert not response_subject_allowed(subject)


def test_an_operator_may_allow_more() -> None:
    assert not response_subject_allowed("web.answers.7")
    assert response_subject_allowed("web.answers.7", ("web.answers.*",))
    assert not response_subject_allowed("web.answers.7.8", ("web.answers.*",))


@pytest.mark.parametrize("subject", LISTENED, ids=lambda subject: subject.template)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_no_subject_that_a_service_listens_to_can_be_named(subject: Subject, data: st.DataObject) -> None:
    """No loop: an answer is never a question, not even where an operator allows everything."""
    tokens = {name: data.draw(token | word) for name in subject.placeholders}
    made = subject.format(**tokens)
    assert is_ingress(made)
    assert not response_subject_allowed(made)
    assert not response_subject_allowed(made, (">", "ai.>", subject.pattern))


@pytest.mark.parametrize(
    "made", ["ai.dlq.response.x", "ai.dlq.AI_PIPELINE.bridge", "ai.chat.event.user_login", "$JS.ACK.x"]
)
def test_what_services_trust_cannot_be_forged(made: str) -> None:
    assert not response_subject_allowed(made, (">",))


@given(subject=concrete)
def test_an_allowed_response_subject_is_an_inbox_or_a_response(subject: str) -> None:
    if response_subject_allowed(subject):
        assert subject_matches("ai.*.response.>", subject)
    assert response_subject_allowed(f"_INBOX.{subject}") == (len(subject) <= 249)
