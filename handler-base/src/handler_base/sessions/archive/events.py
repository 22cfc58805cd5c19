"""From domain events to the messages of the archive, and its runs of pipelines."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.messages import DomainEvent
from handler_base.messages.domain import RunState
from handler_base.messages.subjects import CHAT_EVENT, PIPELINE_EVENT, VOICE_EVENT
from handler_base.sessions.archive.runs import PipelineRun, read_parameters
from handler_base.sessions.conversation import ChatMessage, Kind, Role

__all__ = ["MESSAGE_SUBJECTS", "RUN_SUBJECTS", "archived_message", "archived_run"]

_SAID: Final[dict[str, tuple[Kind, Role]]] = {
    CHAT_EVENT.format(name="message_received"): ("chat", "user"),
    CHAT_EVENT.format(name="response_generated"): ("chat", "assistant"),
    VOICE_EVENT.format(name="request_received"): ("voice", "user"),
    VOICE_EVENT.format(name="transcription_completed"): ("voice", "user"),
    VOICE_EVENT.format(name="llm_response_generated"): ("voice", "assistant"),
}

MESSAGE_SUBJECTS: Final = tuple(_SAID)
"""Subjects of the events that tell what somebody said; all others are no messages of a conversation."""

_RUN_CREATED: Final = PIPELINE_EVENT.format(name="run_created")
_STEP_STARTED: Final = PIPELINE_EVENT.format(name="step_started")
_RUN_COMPLETED: Final = PIPELINE_EVENT.format(name="run_completed")

RUN_SUBJECTS: Final = (_RUN_CREATED, _STEP_STARTED, _RUN_COMPLETED)
"""Subjects of the events that tell where a run stands: that an engine has it, that it began, and that it ended."""

_ENDS: Final = {state.value: state for state in RunState if state.final}

# What a recording says is known once it is transcribed; a question of a live session comes transcribed, by stt-module,
# which knows neither who asked nor in which conversation.
_MAYBE_SILENT: Final = frozenset(
    {VOICE_EVENT.format(name="request_received"), VOICE_EVENT.format(name="transcription_completed")}
)

_MOST_TOKENS: Final = 2**31 - 1


def archived_message(subject: str, event: DomainEvent, *, position: int, stored_at: datetime) -> ChatMessage | None:
    """Return the message an event tells of; None for a step of a spoken question at which no text is told.

    Args:
        subject: What the event was published on; one of `MESSAGE_SUBJECTS`.
        event: It.
        position: Its sequence in the stream.
        stored_at: When the stream took it: nothing was said later than that, and where the event does not say when
            it was said it counts as the time.

    Raises:
        InvalidRequestError: It is no such event, or it tells of no message: the text, the conversation or an id is
            missing or malformed.
    """
    said = _SAID.get(subject)
    if said is None:
        raise InvalidRequestError("The event tells of no message.")
    kind, role = said
    data = event.data
    if subject in _MAYBE_SILENT and "text" not in data:
        return None
    text = data.get("text")
    if not isinstance(text, str):
        raise InvalidRequestError("The event has no text.")
    return ChatMessage(
        id=event.id,
        user_id=event.user_id,
        # A question without a session is a conversation of its own.
        session_id=event.session_id or event.request_id,
        role=role,
        content=_storable(text),
        request_id=event.request_id,
        position=position,
        created_at=_moment(event.occurred_at, stored_at),
        kind=kind,
        username=_text(data.get("username")),
        model=_text(data.get("model")),
        prompt_tokens=_count(data.get("prompt_tokens")),
        completion_tokens=_count(data.get("completion_tokens")),
        premium=data.get("premium") is True,
        status=_text(data.get("status")) or "complete",
        latency_ms=_number(data.get("latency_ms")),
    )


def archived_run(subject: str, event: DomainEvent, *, stored_at: datetime) -> PipelineRun:
    """Return what an event tells of a run.

    Args:
        subject: What the event was published on; one of `RUN_SUBJECTS`.
        event: It.
        stored_at: When the stream took it; see `archived_message`.

    Raises:
        InvalidRequestError: It is no such event, or it tells of no run: an id is missing or malformed, or a run ended
            in no way that there is.
    """
    data = event.data
    moment = _moment(event.occurred_at, stored_at)
    started_at = finished_at = None
    error = ""
    if subject == _RUN_CREATED:
        status = RunState.PENDING
    elif subject == _STEP_STARTED:
        status = RunState.RUNNING
        started_at = moment
    elif subject == _RUN_COMPLETED:
        ended = _ENDS.get(_text(data.get("status")))
        if ended is None:
            raise InvalidRequestError("The event does not tell how the run ended.")
        status = ended
        finished_at = _moment(_text(data.get("finished_at")) or event.occurred_at, stored_at)
        error = _text(data.get("error"))
    else:
        raise InvalidRequestError("The event tells of no run.")
    return PipelineRun(
        request_id=event.request_id,
        status=status,
        submitted_at=_moment(_text(data.get("submitted_at")) or event.occurred_at, stored_at),
        run_id=_text(data.get("run_id")),
        pipeline=_text(data.get("pipeline")),
        engine=_text(data.get("engine")),
        user_id=event.user_id,
        parameters=read_parameters(_text(data.get("parameters"))),
        started_at=started_at,
        finished_at=finished_at,
        error=error,
    )


def _storable(text: str) -> str:
    """Return a text that every database takes: PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd")


def _text(value: object) -> str:
    return _storable(value) if isinstance(value, str) else ""


def _number(value: object) -> float:
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return max(float(value), 0.0)


def _count(value: object) -> int:
    return 0 if value is None else int(min(_number(value), _MOST_TOKENS))


def _moment(told: str, stored_at: datetime) -> datetime:
    """Return when an event happened, as it tells itself where that can be."""
    try:
        moment = datetime.fromisoformat(told)
        if moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return stored_at
    return min(moment, stored_at)
