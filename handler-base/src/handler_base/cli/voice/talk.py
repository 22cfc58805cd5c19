"""`fleet talk`: a conversation aloud, until Ctrl-C or until a recording is over and answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import typer

from handler_base.cli.connecting import connected, no_service
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.interrupting import on_interrupt
from handler_base.cli.terminal import fail, print_text, warn
from handler_base.cli.voice.dialogue import Dialogue, DialoguePrinter
from handler_base.cli.voice.live import MICROPHONE, LiveSession, Source, new_session, open_source
from handler_base.cli.voice.output import open_output
from handler_base.cli.voice.recordings import save_samples
from handler_base.errors import DeadlineExceededError, UpstreamUnavailableError
from handler_base.messages.subjects import TTS_AUDIO, VOICE_RESPONSE, VOICE_RESPONSE_STREAM
from handler_base.nats_client import NatsConnection

__all__ = ["TalkOptions", "talk"]

_SILENCE_SECONDS: Final = 0.04


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What the command line says about a conversation.

    Attributes:
        source: A file that stands for the microphone, or the microphone.
        output: File for all that the fleet says.
        play: Whether it is played, where there is a loudspeaker.
        session: Conversation; empty: a new one.
        user: Who talks.
        language: Spoken; empty: the service's own.
        as_json: Whether to print a JSON object a line in place of text.
        timeout: Time for each answer of a recording.
    """

    source: str
    output: Path | None
    play: bool
    session: str
    user: str
    language: str
    as_json: bool
    timeout: timedelta


async def talk(nats_url: str, options: TalkOptions) -> None:
    """Hold a conversation.

    Raises:
        typer.Exit: Nobody listens or answers, or there is nothing to hear the answers with.
    """
    async with open_output(play=options.play) as output:
        if options.output is None and not output.plays and options.source == MICROPHONE:
            fail(f"{output.trouble} Save what is said with -o FILE.wav.".strip(), ExitCode.USAGE)
        async with open_source(options.source) as sound, connected(nats_url) as connection:
            dialogue = Dialogue(output, DialoguePrinter(as_json=options.as_json))
            try:
                await _converse(connection, sound, dialogue, options)
            except UpstreamUnavailableError:
                no_service(connection, "stt-module")
            except DeadlineExceededError as error:
                fail(f"{error.message} Look at `fleet status`.", ExitCode.NO_ANSWER)
        if options.output is not None:
            await asyncio.to_thread(save_samples, options.output, output.samples)
            if not options.as_json:
                print_text(f"\nSpeech: {options.output} ({output.samples.seconds:.1f} s)")
    if dialogue.unanswered:
        fail("What was said last was not answered; is a voice-assistant running?", ExitCode.NO_ANSWER)
    if dialogue.failed:
        raise typer.Exit(int(ExitCode.FLEET_ERROR))


async def _converse(connection: NatsConnection, sound: Source, dialogue: Dialogue, options: TalkOptions) -> None:
    session_id = options.session or new_session("talk")
    session = LiveSession(
        connection,
        session_id,
        sample_rate=sound.sample_rate,
        language=options.language,
        speaker_id=options.user,
        also=(
            TTS_AUDIO.format(session_id=session_id),
            VOICE_RESPONSE_STREAM.format(request_id=session_id),
            VOICE_RESPONSE.format(request_id=session_id),
        ),
    )
    if options.source == MICROPHONE and not options.as_json:
        warn(f"Session {session_id}. Speak, interrupt as you like; Ctrl-C leaves. Wear headphones, or it hears itself.")

    async def stop() -> None:
        sending.cancel()
        dialogue.output.stop()
        await session.end(options.timeout)

    async with session:
        pieces = _with_silence(sound, dialogue, options.timeout)
        sending = asyncio.create_task(session.speak(pieces, options.timeout), name="sound")
        try:
            with on_interrupt(stop):
                async with aclosing(session.arrivals()) as arrivals:
                    async for msg in arrivals:
                        if await dialogue.take(msg):
                            return
        finally:
            sending.cancel()
            await asyncio.wait({sending})


async def _with_silence(sound: Source, dialogue: Dialogue, patience: timedelta) -> AsyncIterator[bytes]:
    """Yield the sound, and when it is over silence, as of an open microphone, until all of it is answered and heard."""
    async for piece in sound.pieces:
        yield piece
    silence = bytes(2 * int(sound.sample_rate * _SILENCE_SECONDS))
    dialogue.sound_ended()
    while not dialogue.settled(patience.total_seconds()):
        await asyncio.sleep(_SILENCE_SECONDS)
        yield silence
