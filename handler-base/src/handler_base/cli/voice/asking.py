"""`fleet voice`: a recorded question, and its spoken answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import typer

from handler_base.cli.connecting import connected, no_service, refuse
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.interrupting import on_interrupt
from handler_base.cli.sources import print_sources
from handler_base.cli.terminal import clean_line, fail, print_json, print_text, warn
from handler_base.cli.voice.output import Output, open_output, samples_of_wav
from handler_base.cli.voice.question import SpokenAnswer, SpokenQuestion, sendable
from handler_base.cli.voice.recordings import format_named, read_recording, save, save_samples
from handler_base.errors import DeadlineExceededError, ErrorType, UpstreamUnavailableError
from handler_base.messages import VoiceRequest, VoiceResponse, VoiceStreamChunk
from handler_base.nats_client import NatsConnection

__all__ = ["VoiceOptions", "ask"]

_STEPS: Final = {
    "hearing": ("fetch", "stt"),
    "searching": ("embed", "search", "rerank"),
    "writing": ("llm",),
    "speaking": ("speech",),
}
"""What follows one after the other in an answer, and the stages it is made of."""

_MODELS: Final = ("stt", "embed", "rerank", "llm", "speech")


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """What the command line says about a spoken question.

    Attributes:
        output: File for the spoken answer.
        stream: Whether text and sound are given out as they come.
        play: Whether the answer is played, where there is a loudspeaker.
        session: Conversation the question belongs to; empty: none.
        user: Who asks.
        collection: Where to look; empty: the service's own.
        rag: Whether documents are searched at all.
        voice: Who speaks the answer; empty: the service's own.
        language: Of the question and the answer; empty: as it is heard.
        premium: Whether the question goes before standard ones.
        bucket: Object store for a recording that does not fit a message.
        as_json: Whether to print one JSON object in place of text.
        verbose: Whether to print every stage.
        timeout: Time for the answer.
    """

    output: Path | None
    stream: bool
    play: bool
    session: str
    user: str
    collection: str
    rag: bool
    voice: str
    language: str
    premium: bool
    bucket: str
    as_json: bool
    verbose: bool
    timeout: timedelta

    def request(self, path: Path) -> VoiceRequest:
        """Return the question without its recording."""
        return VoiceRequest(
            format=format_named(path),
            user_id=self.user,
            session_id=self.session,
            collection=self.collection,
            enable_rag=self.rag,
            voice=self.voice,
            language=self.language,
            premium=self.premium,
            enable_streaming=self.stream,
        )


async def ask(nats_url: str, path: Path, options: VoiceOptions) -> None:
    """Ask a recorded question; print its answer, play it and save it.

    Raises:
        typer.Exit: There is no answer, or it is an error.
    """
    audio = await asyncio.to_thread(read_recording, path)
    async with open_output(play=options.play) as output:
        async with connected(nats_url) as connection:
            answer = await _ask(connection, path, audio, output, options)
        saved = await _save(answer.response, output, options)
        if options.as_json:
            print_json(_as_json(answer, saved))
        else:
            _print_end(answer, saved, output, options)
    if answer.error is not None:
        if answer.error.type is ErrorType.CANCELLED:
            raise typer.Exit(int(ExitCode.INTERRUPTED))
        if options.as_json:
            raise typer.Exit(int(ExitCode.FLEET_ERROR))
        refuse(answer.error)
    if options.output is not None and not saved:
        fail(
            "The answer came without speech: too long for one message (try --stream), or no speech server runs.",
            ExitCode.FLEET_ERROR,
        )


async def _ask(
    connection: NatsConnection, path: Path, audio: bytes, output: Output, options: VoiceOptions
) -> SpokenAnswer:
    printer = _Printer(silent=options.as_json)
    try:
        async with (
            sendable(connection, options.request(path), audio, bucket=options.bucket) as request,
            SpokenQuestion(connection, request, timeout=options.timeout) as asked,
        ):

            async def stop() -> None:
                output.stop()
                await asked.cancel()

            with on_interrupt(stop):
                async for event in asked.events():
                    if isinstance(event, SpokenAnswer):
                        printer.end(event)
                        if not options.stream and event.response.audio_format == "wav":
                            await output.add(*samples_of_wav(event.response.audio))
                        await output.finish()
                        return event
                    printer.show(event)
                    await output.add(event.audio, event.sample_rate)
    except UpstreamUnavailableError:
        no_service(connection, "voice-assistant")
    except DeadlineExceededError as error:
        fail(f"{error.message} Look at `fleet status`, or give it longer with --timeout.", ExitCode.NO_ANSWER)
    raise DeadlineExceededError


class _Printer:
    """Prints transcript and text, as they come or at the end.

    Args:
        silent: Whether nothing is printed.
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._heard = False
        self._shown = ""

    def show(self, chunk: VoiceStreamChunk) -> None:
        """Print a piece of a stream."""
        if self._silent:
            return
        if chunk.type == "transcription":
            self._hear(chunk.content)
        elif chunk.type == "text":
            self._shown += chunk.content
            print_text(chunk.content, end="")

    def end(self, answer: SpokenAnswer) -> None:
        """Print what the pieces left out."""
        if self._silent:
            return
        if not self._heard and answer.response.transcription:
            self._hear(answer.response.transcription)
        text = answer.response.response
        if self._shown and text.startswith(self._shown):
            print_text(text[len(self._shown) :])
        elif text:
            print_text(f"\n{text}" if self._shown else text)
        elif self._shown:
            print_text("")

    def _hear(self, transcript: str) -> None:
        self._heard = True
        print_text(f"Heard: {clean_line(transcript)}\n")


async def _save(response: VoiceResponse, output: Output, options: VoiceOptions) -> str:
    """Save the answer's sound, where that is asked for and there is some; return the file's name."""
    path, samples = options.output, output.samples
    if path is None or not (response.audio or samples.audio):
        return ""
    if response.audio:
        await asyncio.to_thread(save, path, response.audio)
    else:
        await asyncio.to_thread(save_samples, path, samples)
    return str(path)


def _as_json(answer: SpokenAnswer, saved: str) -> dict[str, object]:
    response = answer.response
    shown: dict[str, object] = msgspec.to_builtins(msgspec.structs.replace(response, audio=b""))
    shown["audio_bytes"] = len(response.audio)
    shown["audio_file"] = saved
    shown["error_type"] = answer.error.type.value if answer.error is not None else ""
    return shown


def _print_end(answer: SpokenAnswer, saved: str, output: Output, options: VoiceOptions) -> None:
    response = answer.response
    if answer.error is not None and answer.error.type is ErrorType.CANCELLED:
        warn("The answer was cancelled.")
        return
    print_sources(response.sources)
    if saved:
        print_text(f"\nSpeech: {saved}{_length(output)}")
    elif output.trouble and response.audio:
        warn(f"{output.trouble} Save the answer with -o FILE.wav.")
    if response.timings_ms:
        print_text(f"\n{_timings(response)}")
    if options.verbose:
        print_text(f"request {clean_line(response.request_id)}, session {clean_line(response.session_id) or 'none'}")
        for stage, spent in response.timings_ms.items():
            print_text(f"  {clean_line(stage):<16}{spent:>10.1f} ms")


def _length(output: Output) -> str:
    samples = output.samples
    return f" ({samples.seconds:.1f} s at {samples.sample_rate} Hz)" if samples.audio else ""


def _timings(response: VoiceResponse) -> str:
    stages = response.timings_ms
    steps = {step: _sum(stages, parts) for step, parts in _STEPS.items()}
    told = ", ".join(f"{step} {spent / 1000:.2f}" for step, spent in steps.items() if spent)
    beside = max(0.0, response.latency_ms - _sum(stages, _MODELS))
    return f"{response.latency_ms / 1000:.2f} s: {told}; {beside:.0f} ms of it outside the models."


def _sum(stages: Mapping[str, float], names: tuple[str, ...]) -> float:
    return sum(stages.get(name, 0.0) for name in names)
