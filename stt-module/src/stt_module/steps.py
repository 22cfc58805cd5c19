"""The messages of a session: what they mean for its life, and whether they make sense."""

from __future__ import annotations

import re
from typing import Final

from handler_base.errors import InvalidRequestError
from handler_base.live import Step
from handler_base.messages import STTStreamMessage
from stt_module.listening import ListeningState

__all__ = ["language_of", "speaker_of", "state_of", "step_of"]

_STEPS: Final = {"start": Step.START, "chunk": Step.GO_ON, "state_change": Step.CHANGE, "end": Step.END}
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}|auto")
_LONGEST_SPEAKER: Final = 128


def step_of(message: STTStreamMessage) -> Step:
    """Return what a message means for the life of its session.

    Raises:
        InvalidRequestError: It means nothing.
    """
    step = _STEPS.get(message.type)
    if step is None:
        raise InvalidRequestError("type must be start, chunk, state_change or end.")
    return step


def state_of(message: STTStreamMessage) -> ListeningState | None:
    """Return the state a message sets, None where it names none.

    Raises:
        InvalidRequestError: There is no such state.
    """
    if not message.state:
        return None
    try:
        return ListeningState(message.state)
    except ValueError:
        raise InvalidRequestError("state must be listening or responding.") from None


def language_of(message: STTStreamMessage) -> str:
    """Return the language a message names, or nothing.

    Raises:
        InvalidRequestError: It cannot be one.
    """
    if message.language and not _LANGUAGE.fullmatch(message.language):
        raise InvalidRequestError("language must be a language tag, such as en or pt-BR.")
    return message.language


def speaker_of(message: STTStreamMessage) -> str:
    """Return the speaker a message names, or nothing.

    Raises:
        InvalidRequestError: The name is too long.
    """
    if len(message.speaker_id) > _LONGEST_SPEAKER:
        raise InvalidRequestError(f"speaker_id may have {_LONGEST_SPEAKER} characters.")
    return message.speaker_id
