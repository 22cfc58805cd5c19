"""What comes out of a transcription server, and how its answers are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.clients.endpoint import HttpAnswer
from handler_base.clients.failures import malformed
from handler_base.clients.sse import EventStream

__all__ = ["Transcription", "TranscriptionPiece", "TranscriptionReader", "read_transcription"]


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said.

    Attributes:
        text: Without blanks around it; empty where nothing was said.
        language: As the server found or was told; may be empty.
        duration: Seconds of audio; 0 where the server does not tell.
    """

    text: str
    language: str = ""
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptionPiece:
    """A piece of a streamed transcription.

    Attributes:
        text: What is new; in the final piece the whole text.
        final: Whether this is the last piece.
    """

    text: str
    final: bool = False


class _Answer(msgspec.Struct):
    text: str | None = None
    transcript: str | None = None
    transcription: str | None = None
    language: str | None = None
    duration: float | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: str | None = None
    text: str | None = None
    choices: list[_Choice] | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode_answer: Final = msgspec.json.Decoder(_Answer, strict=False).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
_NULL: Final = (b"", b"null")
_DELTA: Final = "transcript.text.delta"
_DONE: Final = "transcript.text.done"


def read_transcription(answer: HttpAnswer) -> Transcription:
    """Return what a server answered in one piece: JSON with `text` or `transcript`, or plain text.

    Raises:
        AttemptError: It makes no sense.
    """
    body = answer.body
    if answer.content_type.startswith("text/plain") and not body.lstrip().startswith(b"{"):
        return Transcription(body.decode(errors="replace").strip())
    try:
        found = _decode_answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise malformed() from error
    text = next((text for text in (found.text, found.transcript, found.transcription) if text is not None), None)
    if text is None or bytes(found.error) not in _NULL:
        raise malformed()
    return Transcription(text.strip(), found.language or "", found.duration or 0.0)


class TranscriptionReader:
    """Reads streamed transcriptions, in OpenAI's events or in vLLM's chunks.

    Attributes:
        text: All of it so far.
        done: Whether the end marker was there.
        failure: What is wrong with the stream, for the caller; empty for nothing.
    """

    def __init__(self) -> None:
        self.text = ""
        self.done = False
        self.failure = ""
        self._events = EventStream()

    def feed(self, data: bytes) -> str:
        """Return the text that the bytes add."""
        return self._read(self._events.feed(data))

    def end(self) -> str:
        """Return the text that the end of the stream adds."""
        new = self._read(self._events.end())
        if not self.done and not self.failure:
            self.failure = "A model server stopped in the middle of its answer."
        return new

    def _read(self, events: list[bytes]) -> str:
        new: list[str] = []
        for raw in events:
            if raw == b"[DONE]":
                self.done = True
                break
            try:
                event = _decode_event(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.failure = "A model server answered with something unreadable."
                break
            if bytes(event.error) not in _NULL or event.type == "error":
                self.failure = "A model server reported an error in the middle of its answer."
                break
            new.append(self._new_text(event, told=bool(self.text) or any(new)))
        added = "".join(new)
        if added:
            self.text += added
        return added

    def _new_text(self, event: _Event, *, told: bool) -> str:
        if event.type == _DONE:
            self.done = True
            # Servers that only stream whole segments send no deltas before it.
            return "" if told else event.text or ""
        if event.type == _DELTA:
            return event.delta or ""
        if not event.choices:
            return ""
        choice = event.choices[0]
        self.done = self.done or bool(choice.finish_reason)
        return (choice.delta.content if choice.delta is not None else None) or ""
