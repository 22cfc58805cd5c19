"""The command line of pipelines. What the commands do is imported when one is run."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from handler_base.cli import help_texts

__all__ = ["app"]

app = typer.Typer()

JsonLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show how it goes, to its end.")]


class RunStatus(StrEnum):
    """What `fleet runs --status` takes."""

    SUBMITTED = "submitted"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERROR = "error"


@app.command(help=help_texts.PIPELINES, short_help="List the pipelines and what they take.")
def pipelines(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Only this one.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the pipelines."""
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.pipelines import listing  # noqa: PLC0415

    run_command(listing.pipelines(context.obj, name, as_json=as_json))


@app.command(help=help_texts.TRIGGER, short_help="Start a pipeline, and follow its run.")
def trigger(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="NAME", help="Of the pipeline.", show_default=False)],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter; may be repeated.", show_default=False),
    ] = None,
    follow: Follow = False,
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="Of the request: the same one twice starts one run.", show_default=False)
    ] = "",
    as_json: JsonLines = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time for the first answer.")] = 15.0,
) -> None:
    """Start a pipeline."""
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.pipelines import triggering  # noqa: PLC0415

    wanted = triggering.Wanted(pipeline, triggering.read_parameters(parameters or []), request_id)
    limit = timedelta(seconds=timeout)
    run_command(triggering.trigger(context.obj, wanted, follow=follow, as_json=as_json, timeout=limit))


@app.command(help=help_texts.RUNS, short_help="List the runs of pipelines, follow or cancel one.")
def runs(
    context: typer.Context,
    request_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="Request id of one: its whole history.", show_default=False)
    ] = "",
    follow: Follow = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it.")] = False,
    pipeline: Annotated[str, typer.Option(metavar="NAME", help="Only of this pipeline.")] = "",
    status: Annotated[RunStatus | None, typer.Option(help="Only those that stand there.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most runs, the newest; 0: all.")] = 20,
    archive: Annotated[bool, typer.Option("--archived", help="Read the archive, which keeps runs for good.")] = False,
    as_json: JsonLines = False,
) -> None:
    """List the runs."""
    if (follow or cancel) and not request_id:
        raise typer.BadParameter("--follow and --cancel go with the id of a run.")
    if archive and (follow or cancel):
        raise typer.BadParameter("--follow and --cancel do not go with --archived.")
    if request_id and (pipeline or status is not None):
        raise typer.BadParameter("--pipeline and --status do not go with the id of a run.")
    from handler_base.cli.connecting import run_command  # noqa: PLC0415 - keeps --help fast
    from handler_base.cli.pipelines import runs as showing  # noqa: PLC0415

    chosen = showing.Chosen(pipeline, status.value if status else "", limit)
    if archive:
        run_command(showing.archived(chosen, request_id, as_json=as_json))
    elif request_id:
        run_command(showing.one(context.obj, request_id, follow=follow, cancel=cancel, as_json=as_json))
    else:
        run_command(showing.listed(context.obj, chosen, as_json=as_json))
