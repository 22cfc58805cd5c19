"""The command line of what speaks and listens. What the commands do is imported when one is run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from handler_base.cli import help_texts

__all__ = ["app"]

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Save the speech.", dir_okay=False, show_default=False),
]
Play = Annotated[bool, typer.Option("--play/--no-play", help="Play it, where there is a sound device.")]
Voice = Annotated[str, typer.Option("--voice", metavar="NAME", help="Who speaks; default TTS_VOICE.")]
Recording = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="wav, webm or mp3.", show_default=False)
]
Session = Annotated[str, typer.Option("--session", metavar="ID", help="Conversation it belongs to, remembered 7 days.")]
User = Annotated[str, typer.Option("--user", metavar="ID", help="Who asks.")]


@app.command(help=help_texts.SAY, short_help="Have a text spoken.")
def say(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What to say; '-' reads the standard input.", show_default=False)] = "",
    output: Output = None,
    voice: Voice = "",
    language: Annotated[str, typer.Option(metavar="CODE", help="Of the text.")] = "en",
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="In the voice of this wav.", show_default=False),
    ] = None,
    voices: Annotated[bool, typer.Option("--voices", help="List the voices there are.")] = False,
    play: Play = True,
    as_json: Json = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for all of it.")] = 60.0,
) -> None:
    """Have a text spoken."""
    if voices == bool(text.strip()):
        raise typer.BadParameter("give a text, or --voices.")
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.voice import say as saying  # noqa: PLC0415

    if voices:
        run_command(saying.show_voices(context.obj, as_json=as_json))
        return
    options = saying.SayOptions(
        output=output,
        play=play,
        voice=voice,
        language=language,
        like=like,
        as_json=as_json,
        timeout=timedelta(seconds=timeout),
    )
    run_command(saying.say(context.obj, text, options))


@app.command("voice", help=help_texts.VOICE, short_help="Ask a recorded question, and hear the answer.")
def ask_aloud(
    context: typer.Context,
    recording: Recording,
    output: Output = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print and play the answer as it is made.")] = False,
    play: Play = True,
    session: Session = "",
    user: User = "cli",
    collection: Annotated[str, typer.Option(metavar="NAME", help="Documents to search.")] = "",
    no_rag: Annotated[bool, typer.Option("--no-rag", help="Answer without documents.")] = False,
    voice: Voice = "",
    language: Annotated[str, typer.Option(metavar="CODE", help="Spoken; default: as it is heard.")] = "",
    premium: Annotated[bool, typer.Option("--premium", help="Go before standard questions.")] = False,
    bucket: Annotated[
        str, typer.Option(metavar="NAME", help="Object store for a recording that is too large for a message.")
    ] = "audio",
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every stage.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for the answer.")] = 60.0,
) -> None:
    """Ask a recorded question."""
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.voice import asking  # noqa: PLC0415

    options = asking.VoiceOptions(
        output=output,
        stream=stream,
        play=play,
        session=session,
        user=user,
        collection=collection,
        rag=not no_rag,
        voice=voice,
        language=language,
        premium=premium,
        bucket=bucket,
        as_json=as_json,
        verbose=verbose,
        timeout=timedelta(seconds=timeout),
    )
    run_command(asking.ask(context.obj, recording, options))


@app.command(help=help_texts.LISTEN, short_help="Have sound transcribed while it is spoken.")
def listen(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|mic", help="A recording, or the microphone.")] = "mic",
    language: Annotated[str, typer.Option(metavar="CODE", help="Spoken; default STT_LANGUAGE.")] = "",
    speaker: Annotated[str, typer.Option(metavar="ID", help="Who speaks.")] = "",
    partials: Annotated[bool, typer.Option("--partials/--no-partials", help="Show what is not final yet.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for the last transcripts.")] = 60.0,
) -> None:
    """Have sound transcribed."""
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.voice import listen as listening  # noqa: PLC0415

    options = listening.ListenOptions(
        language=language, speaker=speaker, partials=partials, as_json=as_json, timeout=timedelta(seconds=timeout)
    )
    run_command(listening.listen(context.obj, source, options))


@app.command(help=help_texts.TALK, short_help="Hold a conversation aloud.")
def talk(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="FILE", help="A recording in place of the microphone.")] = "",
    output: Output = None,
    play: Play = True,
    session: Session = "",
    user: User = "cli",
    language: Annotated[str, typer.Option(metavar="CODE", help="Spoken; default STT_LANGUAGE.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Time for an answer to what a recording asks.")
    ] = 60.0,
) -> None:
    """Hold a conversation."""
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.voice import talk as talking  # noqa: PLC0415
    from handler_base.cli.voice.live import MICROPHONE  # noqa: PLC0415

    options = talking.TalkOptions(
        source=source or MICROPHONE,
        output=output,
        play=play,
        session=session,
        user=user,
        language=language,
        as_json=as_json,
        timeout=timedelta(seconds=timeout),
    )
    run_command(talking.talk(context.obj, options))
