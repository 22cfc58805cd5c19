"""What comes from a live session: what of it is a question, and what is not."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeVar

from handler_base.errors import FleetError
from handler_base.messages import Message, STTInterrupt, STTTranscription, decode, detect
from handler_base.nats_client import Msg
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import header
from handler_base.telemetry import metrics
from voice_assistant.recordings import NothingHeardError, transcript_of

__all__ = ["Signal", "Utterance", "body_of", "signal_of", "utterance_of"]

M = TypeVar("M", bound=Message)

_ASIDE: Final = 3
"""Words of the longest utterance that, while an answer is heard, is taken for a sign of listening."""


_SHORTEST_MS: Final = 600
"""Milliseconds of the shortest sound without words that somebody may have meant to be understood."""


class Utterance(Enum):
    """What was heard."""

    NOTHING = auto()
    """Not over yet, or a short noise."""
    UNINTELLIGIBLE = auto()
    """Something long enough to be speech in which there are no words, or that could not be transcribed."""
    ASIDE = auto()
    """A few words beside an answer, which its user did not mean to interrupt: the listening side would have said so."""
    QUESTION = auto()
    """Something to answer."""


def utterance_of(transcription: STTTranscription) -> Utterance:
    """Return what a transcription is."""
    if not transcription.is_final:
        return Utterance.NOTHING
    if transcription.error_type:
        return Utterance.UNINTELLIGIBLE
    try:
        words = transcript_of(transcription.transcript).split()
    except NothingHeardError:
        return Utterance.UNINTELLIGIBLE if transcription.audio_ms >= _SHORTEST_MS else Utterance.NOTHING
    aside = transcription.state == "responding" and len(words) <= _ASIDE
    return Utterance.ASIDE if aside else Utterance.QUESTION


class Signal(Enum):
    """What a session tells besides its transcriptions."""

    NONE = auto()
    INTERRUPT = auto()
    """Its user began to speak while an answer was heard."""
    ENDED = auto()
    """Nothing more comes of it."""


def signal_of(msg: Msg) -> Signal:
    """Return what a message on a session's transcription subject tells besides what was said."""
    kind = header(msg.headers, names.MESSAGE_TYPE)
    if kind == STTInterrupt.schema_name:
        return Signal.INTERRUPT
    transcription = body_of(msg, STTTranscription)
    if transcription is None or transcription.is_final or transcription.is_partial or transcription.error_type:
        return Signal.NONE
    if transcription.state == "ended":
        return Signal.ENDED
    # Without the header an interrupt is told by what it lacks.
    return Signal.NONE if kind else Signal.INTERRUPT


def body_of(msg: Msg, schema: type[M]) -> M | None:
    """Return a message that no endpoint takes; None where it is none."""
    try:
        return decode(schema, msg.data, detect(msg.data, header(msg.headers, names.CONTENT_TYPE)))
    except FleetError:
        metrics.SWALLOWED_ERRORS.of("live").inc()
        return None
