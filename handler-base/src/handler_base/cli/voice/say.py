"""`fleet say`: a text spoken by the fleet."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import typer

from handler_base.cli.asking import encoding_of
from handler_base.cli.connecting import connected, no_service, refuse
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.interrupting import on_interrupt
from handler_base.cli.terminal import clean_line, fail, make_table, print_json, print_table, print_text
from handler_base.cli.voice.output import Output, open_output, samples_of_wav
from handler_base.cli.voice.recordings import read_recording, save, save_samples
from handler_base.cli.voice.speech import Ended, SpokenText
from handler_base.errors import DeadlineExceededError, ErrorType, FleetError, UpstreamUnavailableError
from handler_base.messages import TTSAudioChunk, TTSFullResponse, TTSRequest, TTSVoiceListResponse, decode, encode
from handler_base.messages.subjects import TTS_VOICES_LIST
from handler_base.nats_client import NatsConnection

__all__ = ["SayOptions", "say", "show_voices"]

_FORMATS: Final = {".mp3": "mp3", ".opus": "opus", ".ogg": "opus"}
"""Files that are made in one piece; any other is wav, made of the samples as they come."""

_MOST_TEXT: Final = 1024 * 1024
_LISTING: Final = timedelta(seconds=10)
_PCM: Final = 1
_WAV: Final = 2


@dataclass(frozen=True, slots=True)
class SayOptions:
    """What the command line says about a text.

    Attributes:
        output: File for the speech.
        play: Whether it is played, where there is a loudspeaker.
        voice: Who speaks; empty: the service's own.
        language: Of the text.
        like: A recording of the voice to speak in.
        as_json: Whether to print one JSON object in place of text.
        timeout: Time for all of it.
    """

    output: Path | None
    play: bool
    voice: str
    language: str
    like: Path | None
    as_json: bool
    timeout: timedelta

    @property
    def whole_format(self) -> str:
        """The format that is asked for in one piece; empty where chunks are."""
        return _FORMATS.get(self.output.suffix.lower(), "") if self.output is not None else ""

    def request(self, text: str) -> TTSRequest:
        """Return the message for a text."""
        like = base64.b64encode(read_recording(self.like)).decode() if self.like is not None else ""
        return TTSRequest(
            text=text,
            speaker=self.voice,
            language=self.language,
            speaker_wav_b64=like,
            stream=not self.whole_format,
            format=self.whole_format,
        )


@dataclass(slots=True)
class _Spoken:
    """What came of a text."""

    session_id: str = ""
    started: float = 0.0
    seconds: float = 0.0
    chunks: int = 0
    file: bytes = b""
    error: FleetError | None = None


async def say(nats_url: str, text: str, options: SayOptions) -> None:
    """Have a text spoken; play it, save it, or both.

    Raises:
        typer.Exit: It was not spoken, or there is nowhere to put it.
    """
    text = sys.stdin.read(_MOST_TEXT) if text == "-" else text
    request = options.request(text)
    async with open_output(play=options.play and not options.whole_format) as output:
        if options.output is None and not output.plays:
            why = f"{output.trouble} " if output.trouble else ""
            fail(f"{why}Save the speech with -o FILE.wav.", ExitCode.USAGE)
        async with connected(nats_url) as connection:
            spoken = await _speak(connection, request, output, options)
        if spoken.error is not None and spoken.error.type is ErrorType.CANCELLED:
            raise typer.Exit(int(ExitCode.INTERRUPTED))
        if options.output is not None and spoken.error is None:
            await asyncio.to_thread(_save, options.output, spoken.file, output)
        _tell(spoken, output, options)


async def show_voices(nats_url: str, *, as_json: bool) -> None:
    """List the voices there are.

    Raises:
        typer.Exit: Nobody tells them.
    """
    async with connected(nats_url) as connection:
        try:
            msg = await connection.request(TTS_VOICES_LIST.template, encode(TTSVoiceListResponse()), timeout=_LISTING)
        except UpstreamUnavailableError:
            no_service(connection, "tts-module")
        known = decode(TTSVoiceListResponse, msg.data, encoding_of(msg))
    custom = {voice.name for voice in known.custom_voices}
    if as_json:
        print_json(
            [{"name": voice.name, "kind": "custom", "language": voice.language} for voice in known.custom_voices]
            + [{"name": name, "kind": "built-in", "language": ""} for name in known.speakers if name not in custom]
        )
        return
    table = make_table("", "voice", "kind", "language")
    for voice in known.custom_voices:
        table.add_row(clean_line(voice.name), "custom", clean_line(voice.language))
    for name in known.speakers:
        if name not in custom:
            table.add_row(clean_line(name), "built-in", "")
    print_table(table)


async def _speak(connection: NatsConnection, request: TTSRequest, output: Output, options: SayOptions) -> _Spoken:
    spoken = _Spoken(started=time.perf_counter())
    try:
        async with SpokenText(connection, request, timeout=options.timeout) as asked:
            spoken.session_id = asked.session_id

            async def stop() -> None:
                output.stop()
                await asked.cancel()

            with on_interrupt(stop):
                async for event in asked.events():
                    if isinstance(event, Ended):
                        spoken.error = event.error
                    else:
                        await _take(event, spoken, output)
                await output.finish()
    except UpstreamUnavailableError:
        no_service(connection, "tts-module")
    except DeadlineExceededError as error:
        fail(f"{error.message} Look at `fleet status`, or give it longer with --timeout.", ExitCode.NO_ANSWER)
    return spoken


async def _take(event: TTSAudioChunk | TTSFullResponse, spoken: _Spoken, output: Output) -> None:
    spoken.chunks += 1
    if isinstance(event, TTSAudioChunk):
        await output.add(event.audio, event.sample_rate, event.channels)
    elif event.audio_encoding == _WAV:
        await output.add(*samples_of_wav(event.audio))
    elif event.audio_encoding == _PCM:
        await output.add(event.audio, event.sample_rate, event.channels)
    else:
        output.first_sound = time.perf_counter()
        spoken.file = event.audio


def _save(path: Path, file: bytes, output: Output) -> None:
    if file:
        save(path, file)
    else:
        save_samples(path, output.samples)


def _tell(spoken: _Spoken, output: Output, options: SayOptions) -> None:
    error = spoken.error
    samples = output.samples
    first = 1000 * (output.first_sound - spoken.started) if output.first_sound else 0.0
    if options.as_json:
        print_json(
            {
                "session_id": spoken.session_id,
                "audio_file": str(options.output) if options.output is not None and error is None else "",
                "seconds": round(samples.seconds, 3),
                "sample_rate": samples.sample_rate,
                "chunks": spoken.chunks,
                "first_sound_ms": round(first, 1),
                "error": error.message if error is not None else "",
                "error_type": error.type.value if error is not None else "",
            }
        )
        if error is not None:
            raise typer.Exit(int(ExitCode.FLEET_ERROR))
    elif error is not None:
        refuse(error)
    else:
        where = f"Saved {options.output}" if options.output is not None else "Spoken"
        if spoken.file:
            print_text(f"{where}, after {first:.0f} ms.")
        else:
            length = f"{samples.seconds:.1f} s at {samples.sample_rate} Hz"
            print_text(f"{where}, {length}; the first sound came after {first:.0f} ms.")
