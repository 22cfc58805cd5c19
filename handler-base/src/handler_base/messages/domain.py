"""Rules of the domain that concern single messages: audio formats, artifact addresses, the life of a run."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from handler_base.errors import InternalError, InvalidRequestError, UnsupportedFormatError

__all__ = ["AudioFormat", "RunState", "check_artifact_uri", "check_transcript"]


class AudioFormat(StrEnum):
    """The formats of recorded questions."""

    WAV = "wav"
    WEBM = "webm"
    MP3 = "mp3"

    @classmethod
    def named(cls, name: str) -> AudioFormat:
        """Return the format of a name in any case.

        Raises:
            UnsupportedFormatError: It is another format.
        """
        try:
            return cls(name.lower())
        except ValueError as error:
            raise UnsupportedFormatError("Audio must be wav, webm or mp3.") from error


class RunState(StrEnum):
    """Where a pipeline run stands; it goes on and never back."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return not _NEXT[self]

    def may_become(self, other: RunState) -> bool:
        """Whether a run in this state may be seen in another one next.

        A watcher that looks now and then can miss `running`, so `pending` may be followed by an end.
        """
        return other in _NEXT[self]

    def then(self, other: RunState) -> RunState:
        """Return the other state.

        Raises:
            InternalError: It would be a step back, or a step after the end.
        """
        if not self.may_become(other):
            raise InternalError
        return other


_NEXT: Final[dict[RunState, frozenset[RunState]]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
}

_ARTIFACT_URI: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s/][^\s]{0,1023}")


def check_artifact_uri(uri: str) -> str:
    """Return an artifact's address if it is ``s3://bucket/key``.

    Raises:
        InvalidRequestError: It is not.
    """
    if not _ARTIFACT_URI.fullmatch(uri) or ".." in uri:
        raise InvalidRequestError("An artifact's URI must be s3://bucket/key.")
    return uri


def check_transcript(text: str) -> str:
    """Return a transcript without the space around it, if it says anything.

    Raises:
        InvalidRequestError: There is no speech in it.
    """
    transcript = text.strip()
    if not transcript:
        raise InvalidRequestError("No speech was found in the audio.")
    return transcript
