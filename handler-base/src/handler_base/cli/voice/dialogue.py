"""A conversation as its user follows it: what was understood, what is answered, and what of that is heard."""

from __future__ import annotations

import time
from typing import Final

from handler_base.cli.asking import encoding_of, error_of
from handler_base.cli.ordering import InOrder
from handler_base.cli.terminal import clean_line, print_json_line, print_text, warn
from handler_base.cli.voice.live import Heard, heard_in, heard_json
from handler_base.cli.voice.live_line import LiveLine, Words
from handler_base.cli.voice.output import Output
from handler_base.errors import FleetError, error_for_code
from handler_base.messages import TTSAudioChunk, VoiceResponse, VoiceStreamChunk, decode
from handler_base.messages.subjects import STT_TRANSCRIPTION, TTS_AUDIO, VOICE_RESPONSE_STREAM
from handler_base.nats_client import Msg

__all__ = ["FIRST_WORDS_SECONDS", "QUIET_SECONDS", "Dialogue", "DialoguePrinter"]

QUIET_SECONDS: float = 3.0
"""After a recording, when so long nothing happened, nothing more is coming."""

FIRST_WORDS_SECONDS: Final = 10.0
"""The same where nothing was understood yet."""


class DialoguePrinter:
    """Prints a conversation.

    Args:
        as_json: Whether as a JSON object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._line = LiveLine(shown=not as_json)
        self._words = Words()
        self._open = False

    def heard(self, heard: Heard) -> None:
        """Print what was understood of the user, so far or for good."""
        told = heard.transcription
        confirmed, tentative = "", ""
        if heard.kind == "partial":
            confirmed, tentative = self._words.hear(told.sequence, told.transcript)
        if self._json:
            print_json_line(heard_json(heard, confirmed))
            return
        if heard.kind == "partial":
            self._break()
            self._line.show(confirmed, tentative)
            return
        self._break()
        if heard.kind == "final" and told.transcript:
            print_text(f"You:    {clean_line(told.transcript)}")
        if heard.kind == "interrupt":
            print_text("        (interrupted)")
        if heard.error is not None:
            warn(f"{heard.error.message} ({heard.error.type.value})")

    def text(self, text: str) -> None:
        """Print the next words of an answer."""
        if self._json:
            print_json_line({"kind": "text", "text": text})
            return
        self._line.clear()
        print_text(text if self._open else f"Fleet:  {text.lstrip()}", end="")
        self._open = True

    def sounds(self, first_sound: float) -> None:
        """Print that an answer begins to be heard, so many seconds after its question."""
        if self._json:
            print_json_line({"kind": "sound", "first_sound_ms": round(1000 * first_sound, 1)})

    def answered(self, response: VoiceResponse, error: FleetError | None, first_sound: float) -> None:
        """Print the end of an answer.

        Args:
            response: The answer.
            error: What went wrong, or None.
            first_sound: Seconds from the question to its first sound; 0 where there was none.
        """
        if self._json:
            print_json_line(
                {
                    "kind": "answer",
                    "question": response.transcription,
                    "response": response.response,
                    "sources": [source.source_url or source.title for source in response.sources],
                    "first_sound_ms": round(1000 * first_sound, 1),
                    "timings_ms": response.timings_ms,
                    "error": response.error,
                    "error_type": error.type.value if error is not None else "",
                }
            )
            return
        self._break()
        titles = dict.fromkeys(source.title or source.source_url for source in response.sources)
        parts = [f"{first_sound:.2f} s to the first sound"] if first_sound else []
        parts += [f"from: {', '.join(clean_line(title) for title in titles)}"] if titles else []
        if parts:
            print_text(f"        ({'; '.join(parts)})")
        if error is not None:
            warn(f"{error.message} ({error.type.value})")

    def _break(self) -> None:
        self._line.clear()
        if self._open:
            self._open = False
            print_text("")


class Dialogue:
    """Follows one session.

    Args:
        output: Takes what is said.
        printer: Shows what is told.

    Attributes:
        output: As given.
        failed: Whether something went wrong.
    """

    def __init__(self, output: Output, printer: DialoguePrinter) -> None:
        self.output = output
        self.failed = False
        self._printer = printer
        self._text_order = InOrder[VoiceStreamChunk]()
        self._sound_order = InOrder[TTSAudioChunk]()
        self._turn = ""
        self._dropping = False
        self._speaking = False
        self._asked_at = 0.0
        self._waits = False
        self._first_sound = 0.0
        self._last_news = time.perf_counter()

    @property
    def unanswered(self) -> bool:
        """Whether something was asked and nobody began to answer."""
        return self._waits

    def sound_ended(self) -> None:
        """Note that the user says no more."""
        self._last_news = time.perf_counter()

    def settled(self, patience: float) -> bool:
        """Whether all that was said is answered and heard, or nobody answers.

        Args:
            patience: Seconds without any news after which nobody does.
        """
        if self.output.unheard:
            return False
        if self._waits or self._turn or self._speaking:
            longest = patience
        else:
            longest = QUIET_SECONDS if self._asked_at else min(patience, FIRST_WORDS_SECONDS)
        return time.perf_counter() - self._last_news > longest

    async def take(self, msg: Msg) -> bool:
        """Take what came; tell whether the session is over.

        Raises:
            InvalidRequestError: It is no message of the contract.
            UpstreamError: It is sound that cannot be played.
        """
        self._last_news = time.perf_counter()
        if STT_TRANSCRIPTION.match(msg.subject) is not None:
            return self._hear(heard_in(msg))
        if TTS_AUDIO.match(msg.subject) is not None:
            await self._play(decode(TTSAudioChunk, msg.data, encoding_of(msg)))
        elif VOICE_RESPONSE_STREAM.match(msg.subject) is not None:
            self._read(decode(VoiceStreamChunk, msg.data, encoding_of(msg)))
        else:
            self._answered(decode(VoiceResponse, msg.data, encoding_of(msg)), error_of(msg))
        return False

    def _hear(self, heard: Heard) -> bool:
        told = heard.transcription
        self._speaking = heard.kind == "partial" or (self._speaking and heard.kind != "final")
        if heard.kind == "interrupt":
            self.output.stop()
            self._dropping = True
        elif heard.kind == "final" and told.transcript:
            self._asked_at = time.perf_counter()
            # A few words beside an answer are not answered.
            self._waits = self._waits or told.state != "responding"
        self.failed = self.failed or heard.error is not None
        if heard.kind != "ended":
            self._printer.heard(heard)
        return heard.kind == "ended"

    async def _play(self, chunk: TTSAudioChunk) -> None:
        if chunk.chunk_index == 0:
            self._dropping, self._sound_order = False, InOrder[TTSAudioChunk]()
            self._first_sound = time.perf_counter() - self._asked_at if self._asked_at else 0.0
            self._printer.sounds(self._first_sound)
        if self._dropping:
            return
        for piece in self._sound_order.take(chunk.chunk_index, chunk):
            await self.output.add(piece.audio, piece.sample_rate, piece.channels)

    def _read(self, chunk: VoiceStreamChunk) -> None:
        if chunk.request_id != self._turn:
            self._turn, self._text_order = chunk.request_id, InOrder[VoiceStreamChunk]()
        for piece in self._text_order.take(chunk.sequence, chunk):
            if piece.done:
                self._turn = ""
            else:
                self._waits = False
            if piece.type == "text":
                self._printer.text(piece.content)

    def _answered(self, response: VoiceResponse, error: FleetError | None) -> None:
        self._waits = False
        if error is None and response.error:
            error = error_for_code(500, response.error)
        self.failed = self.failed or error is not None
        self._printer.answered(response, error, self._first_sound)
