"""The command line of `fleet`: its commands and options. What they do is imported when one is run."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from handler_base.cli import help_texts
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.pipelines.commands import app as pipeline_app
from handler_base.cli.voice.commands import app as voice_app

__all__ = ["app", "run"]

_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="fleet",
    help=help_texts.FLEET,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)
dead_letter_app = typer.Typer(
    help=help_texts.DLQ, rich_markup_mode="rich", no_args_is_help=True, context_settings=_SETTINGS
)
app.add_typer(dead_letter_app, name="dlq", short_help="Look at work that was given up, and try it again.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")]
User = Annotated[str, typer.Option("--user", metavar="ID", help="Only of this user.")]
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)]
Session = Annotated[str, typer.Option("--session", metavar="ID", help="Only of this conversation.")]
Stream = Annotated[str, typer.Option("--stream", metavar="NAME", help="Only what came from this stream.")]
Consumer = Annotated[str, typer.Option("--consumer", metavar="NAME", help="Only what this consumer gave up.")]


class Domain(StrEnum):
    """Where events come from."""

    CHAT = "chat"
    VOICE = "voice"
    PIPELINE = "pipeline"


def run() -> None:
    """Run the command line of this process and exit with its code."""
    try:
        app(prog_name="fleet")
    except KeyboardInterrupt:
        raise SystemExit(int(ExitCode.INTERRUPTED)) from None


@app.callback()
def fleet(
    context: typer.Context,
    nats_url: Annotated[
        str,
        typer.Option("--nats-url", metavar="URL", help="NATS servers, separated by commas, in place of NATS_URL."),
    ] = "",
) -> None:
    """Keep the options that all commands share."""
    context.obj = nats_url


@app.command(help=help_texts.CHAT, short_help="Ask a question, or hold a conversation.")
def chat(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What to ask; without it, a conversation.", show_default=False)] = "",
    stream: Annotated[bool, typer.Option(help="Print the text as it is written.")] = True,
    session: Annotated[str, typer.Option(metavar="ID", help="Conversation it belongs to, remembered 7 days.")] = "",
    user: Annotated[str, typer.Option(metavar="ID", help="Who asks.")] = "cli",
    collection: Annotated[str, typer.Option(metavar="NAME", help="Documents to search.")] = "",
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Passages to look for.")] = 5,
    premium: Annotated[bool, typer.Option("--premium", help="Go before standard questions.")] = False,
    no_rag: Annotated[bool, typer.Option("--no-rag", help="Answer without documents.")] = False,
    speak: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Have it spoken, and save the audio.", dir_okay=False)
    ] = None,
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print model, tokens and timings.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for the answer.")] = 120.0,
) -> None:
    """Ask one question, or hold a conversation."""
    from handler_base.cli import chat as asking  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli import interactive  # noqa: PLC0415
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    options = asking.ChatOptions(
        stream=stream,
        session=session,
        user=user,
        collection=collection,
        top_k=top_k,
        premium=premium,
        rag=not no_rag,
        speak=speak,
        as_json=as_json,
        verbose=verbose,
        timeout=timedelta(seconds=timeout),
    )
    nats_url: str = context.obj
    if question.strip():
        run_command(asking.ask_once(nats_url, question, options))
    else:
        run_command(interactive.chat(nats_url, options))


# Here, as the help shows commands in the order of their registration.
app.registered_commands.extend(voice_app.registered_commands)


@app.command(help=help_texts.INGEST, short_help="Add files and folders to a collection.")
def ingest(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files and folders.", show_default=False)],
    collection: Annotated[str, typer.Option(metavar="NAME", help="Where to; default COLLECTION_NAME.")] = "",
    root: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="What documents are named relative to.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add documents to a collection."""
    from handler_base.cli import ingest as ingesting  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(ingesting.ingest(paths, collection, root, as_json=as_json))


app.registered_commands.extend(pipeline_app.registered_commands)


@app.command(help=help_texts.STATUS, short_help="List the services that answer, with load and health.")
def status(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Only services of this name.", show_default=False)] = "",
    endpoints: Annotated[bool, typer.Option("--endpoints", help="A row for each endpoint.")] = False,
    as_json: Json = False,
) -> None:
    """List the services that answer."""
    from handler_base.cli import status as asking  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(asking.status(context.obj, service, as_json=as_json, by_endpoint=endpoints))


@app.command(help=help_texts.STREAMS, short_help="Show the streams of the contract.")
def streams(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Fail when one is missing or differs.")] = False,
    as_json: Json = False,
) -> None:
    """Show the streams of the contract."""
    from handler_base.cli import streams as showing  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(showing.streams(context.obj, as_json=as_json, check=check))


@app.command(help=help_texts.PUBLISH, short_help="Publish any message of the contract from JSON.")
def publish(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="Such as ai.chat.request.", show_default=False)],
    file: Annotated[str, typer.Argument(help="JSON file; '-' reads the standard input.", show_default=False)],
    reply: Annotated[bool, typer.Option("--reply", help="Wait for the answer and print it.")] = False,
    protobuf: Annotated[bool, typer.Option("--protobuf", help="Protocol Buffers in place of MessagePack.")] = False,
    kind: Annotated[
        str, typer.Option("--type", metavar="MESSAGE", help="Which message, where the subject has several.")
    ] = "",
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for the answer.")] = 120.0,
) -> None:
    """Publish a message."""
    from handler_base.cli import publish as publishing  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415
    from handler_base.messages import Encoding  # noqa: PLC0415

    encoding = Encoding.PROTOBUF if protobuf else Encoding.MSGPACK
    limit = timedelta(seconds=timeout)
    run_command(
        publishing.publish(context.obj, subject, file, kind=kind, encoding=encoding, reply=reply, timeout=limit)
    )


@app.command(help=help_texts.EVENTS, short_help="Print what happened in the fleet, and what happens.")
def events(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    user: User = "",
    session: Session = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Only events of this name.")] = "",
    domain: Annotated[Domain | None, typer.Option(help="Only events of this domain.", show_default=False)] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="Not before this time ago: 30s, 10m, 2h, 7d.")] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=0, help="Most past events; 0: all. Default 50.", show_default=False),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Print what happened."""
    from handler_base.cli import events as showing  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    wanted = showing.EventFilter(user=user, session=session, name=name, domain=domain.value if domain else "")
    run_command(
        showing.events(context.obj, wanted, follow=follow, since=since, limit=limit, as_json=as_json),
    )


@app.command(help=help_texts.HISTORY, short_help="Print archived conversations.")
def history(
    user: User = "",
    session: Session = "",
    search: Annotated[str, typer.Option(metavar="TEXT", help="Messages with these words, the newest first.")] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="Most rows. Default 50; of a conversation 1000.", show_default=False),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Print archived conversations."""
    from handler_base.cli import history as showing  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    most = limit or (1000 if session and not search else 50)
    run_command(showing.history(user=user, session=session, search=search, limit=most, as_json=as_json))


@app.command(help=help_texts.USAGE, short_help="Print requests and tokens by day and user.")
def usage(
    user: User = "",
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days, with today.")] = 7,
    as_json: JsonLines = False,
) -> None:
    """Print what was used."""
    from handler_base.cli import usage as showing  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(showing.usage(user=user, days=days, as_json=as_json))


@app.command(help=help_texts.PREFS, short_help="Show or set what a user prefers.")
def prefs(
    user: UserId,
    voice: Annotated[str | None, typer.Option(metavar="NAME", help="Voice of answers.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Model that answers.", show_default=False)] = None,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="Such as en.", show_default=False)] = None,
    rag: Annotated[bool | None, typer.Option(help="Whether to search documents.", show_default=False)] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Unset all first.")] = False,
) -> None:
    """Show or set what a user prefers."""
    from handler_base.cli import preferences  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    change = preferences.Change(voice=voice, model=model, language=language, rag=rag, clear=clear)
    run_command(preferences.preferences(user, change))


@app.command(help=help_texts.FORGET, short_help="Remove all that is kept of a user.")
def forget(
    context: typer.Context,
    user: UserId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove all that is kept of a user."""
    from handler_base.cli import forget as forgetting  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(forgetting.forget(context.obj, user, yes=yes))


@app.command(help=help_texts.VERSION, short_help=help_texts.VERSION)
def version() -> None:
    """Print the versions."""
    import platform  # noqa: PLC0415 - keeps --help fast
    from importlib.metadata import version as version_of  # noqa: PLC0415

    typer.echo(f"fleet {version_of('handler-base')} (Python {platform.python_version()})")


@dead_letter_app.command("list", help=help_texts.DLQ_LIST, short_help="List the dead letters.")
def dlq_list(
    context: typer.Context,
    stream: Stream = "",
    consumer: Consumer = "",
    limit: Annotated[int, typer.Option(min=0, help="Most records; 0: all.")] = 50,
    as_json: Json = False,
) -> None:
    """List the dead letters."""
    from handler_base.cli import dead_letters  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(dead_letters.list_records(context.obj, stream=stream, consumer=consumer, limit=limit, as_json=as_json))


@dead_letter_app.command("show", help=help_texts.DLQ_SHOW, short_help="Print one with its message.")
def dlq_show(
    context: typer.Context,
    sequence: Annotated[int, typer.Argument(min=1, metavar="RECORD", help="Its number.", show_default=False)],
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Save the original bytes.", dir_okay=False)] = None,
) -> None:
    """Print one dead letter."""
    from handler_base.cli import dead_letters  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(dead_letters.show(context.obj, sequence, save=save))


@dead_letter_app.command("replay", help=help_texts.DLQ_REPLAY, short_help="Publish them again.")
def dlq_replay(
    context: typer.Context,
    sequences: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="RECORD...", help="Their numbers.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    stream: Stream = "",
    consumer: Consumer = "",
) -> None:
    """Publish dead letters again."""
    if bool(sequences) == everything:
        raise typer.BadParameter("name records, or --all.")
    if (stream or consumer) and not everything:
        raise typer.BadParameter("--stream and --consumer go with --all.")
    from handler_base.cli import dead_letters  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.connecting import run_command  # noqa: PLC0415

    run_command(
        dead_letters.replay(context.obj, sequences or [], everything=everything, stream=stream, consumer=consumer)
    )
