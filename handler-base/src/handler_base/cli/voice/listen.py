"""`fleet listen`: sound at the pace at which it is spoken, and what is understood of it meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import typer

from handler_base.cli.connecting import connected, no_service
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.interrupting import on_interrupt
from handler_base.cli.terminal import clean_line, fail, print_json_line, print_text, warn
from handler_base.cli.voice.live import Heard, LiveSession, Source, heard_in, heard_json, new_session, open_source
from handler_base.cli.voice.live_line import LiveLine, Words
from handler_base.errors import DeadlineExceededError, UpstreamUnavailableError

__all__ = ["ListenOptions", "listen"]

_PREFIX: Final = "listen"
"""Sessions that begin with it are only transcribed: no answer is spoken into them."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What the command line says about listening.

    Attributes:
        language: Spoken; empty: the service's own.
        speaker: Who speaks; comes back with every transcript.
        partials: Whether what is not final is shown.
        as_json: Whether to print a JSON object a line in place of text.
        timeout: Time for the last transcripts, once the sound is over.
    """

    language: str
    speaker: str
    partials: bool
    as_json: bool
    timeout: timedelta


async def listen(nats_url: str, source: str, options: ListenOptions) -> None:
    """Have sound transcribed while it is heard, to its end or to Ctrl-C.

    Args:
        nats_url: From the command line.
        source: A file, or the microphone.
        options: The rest of it.

    Raises:
        typer.Exit: Nobody listens, or something could not be understood.
    """
    async with open_source(source) as sound, connected(nats_url) as connection:
        session = LiveSession(
            connection,
            new_session(_PREFIX),
            sample_rate=sound.sample_rate,
            language=options.language,
            speaker_id=options.speaker,
        )
        printer = _Printer(options)
        try:
            async with session:
                await _hear(session, sound, printer, options.timeout)
        except UpstreamUnavailableError:
            no_service(connection, "stt-module")
        except DeadlineExceededError as error:
            fail(f"{error.message} Look at `fleet status`, or give it longer with --timeout.", ExitCode.NO_ANSWER)
        printer.end()
    if printer.failed:
        raise typer.Exit(int(ExitCode.FLEET_ERROR))


async def _hear(session: LiveSession, sound: Source, printer: _Printer, patience: timedelta) -> None:
    async def stop() -> None:
        sending.cancel()
        await session.end(patience)

    sending = asyncio.create_task(session.speak(sound.pieces, patience), name="sound")
    try:
        with on_interrupt(stop):
            async with aclosing(session.arrivals()) as arrivals:
                async for msg in arrivals:
                    heard = heard_in(msg)
                    printer.show(heard)
                    if heard.kind == "ended":
                        return
    finally:
        sending.cancel()
        await asyncio.wait({sending})


class _Printer:
    """Prints what is heard.

    Args:
        options: Of the command.

    Attributes:
        failed: Whether something went wrong.
    """

    def __init__(self, options: ListenOptions) -> None:
        self._options = options
        self._line = LiveLine(shown=options.partials and not options.as_json)
        self._words = Words()
        self._utterances = 0
        self._heard_ms = 0
        self.failed = False

    def show(self, heard: Heard) -> None:
        """Print one thing that was heard."""
        told, error = heard.transcription, heard.error
        confirmed, tentative = "", ""
        if heard.kind == "partial":
            confirmed, tentative = self._words.hear(told.sequence, told.transcript)
        elif heard.kind == "final" and told.transcript:
            self._utterances += 1
        elif heard.kind == "ended":
            self._heard_ms = told.audio_ms
        self.failed = self.failed or error is not None
        if self._options.as_json:
            if heard.kind != "partial" or self._options.partials:
                print_json_line(heard_json(heard, confirmed))
            return
        if heard.kind == "partial":
            self._line.show(confirmed, tentative)
            return
        self._line.clear()
        if heard.kind == "final" and told.transcript:
            print_text(clean_line(told.transcript))
        if error is not None:
            warn(f"{error.message} ({error.type.value})")

    def end(self) -> None:
        """Print how much was heard."""
        if not self._options.as_json:
            self._line.clear()
            times = "1 utterance" if self._utterances == 1 else f"{self._utterances} utterances"
            print_text(f"\n{self._heard_ms / 1000:.1f} s of sound, {times}.")
