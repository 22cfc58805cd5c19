"""`fleet runs`: which runs there are, and what became of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from handler_base.cli.connecting import jetstream
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.pipelines.following import FINAL, Run, read_status
from handler_base.cli.pipelines.showing import display, exit_code, line_of, moment, took
from handler_base.cli.pipelines.triggering import to_the_end
from handler_base.cli.stores import check_id, opened_archive
from handler_base.cli.terminal import clean_line, fail, make_table, print_json_line, print_table, print_text, warn
from handler_base.errors import InvalidRequestError, NotFoundError
from handler_base.messages import CancelRequest, Encoding, PipelineStatus, encode
from handler_base.messages.streams import AI_PIPELINE
from handler_base.messages.subjects import PIPELINE_CANCEL, PIPELINE_STATUS, check_token
from handler_base.nats_client import NatsConnection, StreamReader, headers

if TYPE_CHECKING:
    from handler_base.sessions.archive import PipelineRun

__all__ = ["Chosen", "archived", "listed", "one"]

_MOST_ARCHIVED: Final = 10_000
"""Runs that the archive gives at once."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which runs.

    Attributes:
        pipeline: Only of this one; empty: of all.
        status: Only those that stand there; empty: all.
        limit: Most of them, the newest; 0: all.
    """

    pipeline: str
    status: str
    limit: int

    def of(self, runs: Iterable[PipelineStatus]) -> list[PipelineStatus]:
        """Return those that are meant, oldest first."""
        found = [run for run in runs if self.pipeline in {"", run.pipeline} and self.status in {"", run.status}]
        return found[-self.limit :]


async def listed(nats_url: str, chosen: Chosen, *, as_json: bool) -> None:
    """Print where runs stand, oldest first.

    Raises:
        typer.Exit: JetStream is away.
    """
    async with jetstream(nats_url) as (connection, _):
        last: dict[str, PipelineStatus] = {}
        for status in await _past(connection, "*"):
            last[status.request_id] = status
    found = chosen.of(last.values())
    if as_json:
        for status in found:
            print_json_line(msgspec.to_builtins(status))
    else:
        _show(found)


async def archived(chosen: Chosen, request_id: str, *, as_json: bool) -> None:
    """Print what the archive has of runs, oldest first.

    Args:
        chosen: Which.
        request_id: Only of this request; empty: of all.
        as_json: Whether to print a JSON object a line.

    Raises:
        typer.Exit: The archive cannot be read, or has no such run.
    """
    if request_id:
        check_id("ID", request_id)
    async with opened_archive() as archive:
        found = await archive.runs(
            request_id=request_id,
            pipeline=chosen.pipeline,
            status=chosen.status,
            limit=min(chosen.limit or _MOST_ARCHIVED, _MOST_ARCHIVED),
        )
    if request_id and not found:
        fail(f"There is no run of request {request_id} in the archive.", ExitCode.FLEET_ERROR)
    found.reverse()
    if as_json:
        for run in found:
            print_json_line(msgspec.to_builtins(run))
    else:
        _show([_as_status(run) for run in found])


def _as_status(run: PipelineRun) -> PipelineStatus:
    return PipelineStatus(
        request_id=run.request_id,
        status=run.status.value,
        run_id=run.run_id,
        engine=run.engine,
        pipeline=run.pipeline,
        submitted_at=run.submitted_at.isoformat(),
        error=run.error,
        finished_at=run.finished_at.isoformat() if run.finished_at else "",
    )


def _show(found: Sequence[PipelineStatus]) -> None:
    if found:
        table = make_table("", "request", "pipeline", "engine", "status", "submitted", "took#", "told")
        for status in found:
            begun = moment(status.submitted_at)
            table.add_row(
                clean_line(status.request_id),
                clean_line(status.pipeline),
                clean_line(status.engine),
                clean_line(status.status),
                begun.strftime("%Y-%m-%d %H:%M:%S") if begun else "",
                took(status),
                clean_line(status.error or status.message, 120),
            )
        print_table(table)
    else:
        print_text("No runs.")


async def one(nats_url: str, request_id: str, *, follow: bool, cancel: bool, as_json: bool) -> None:
    """Print the history of one run; stop it, or go on to its end, where that is asked for.

    Raises:
        typer.Exit: There is no such run, or it failed and was followed.
    """
    try:
        check_token("ID", request_id)
    except InvalidRequestError as error:
        fail(error.message, ExitCode.USAGE)
    async with jetstream(nats_url) as (connection, _):
        past = await _past(connection, request_id)
        if not past:
            fail(f"There is no run of request {request_id}.", ExitCode.FLEET_ERROR)
        if not follow and not cancel:
            for status in past:
                print_json_line(msgspec.to_builtins(status)) if as_json else print_text(_dated(status))
            return
        async with Run.follow(connection, request_id) as run:
            if cancel and past[-1].status not in FINAL:
                await _cancel(connection, request_id)
            elif cancel:
                warn("it has ended already.")
            with display(as_json=as_json) as show:
                last = await to_the_end(run, show, request_id)
    raise typer.Exit(int(ExitCode.OK if cancel else exit_code(last)))


async def _past(connection: NatsConnection, request_id: str) -> list[PipelineStatus]:
    subject = PIPELINE_STATUS.pattern.replace("*", request_id)
    reader = StreamReader(connection, AI_PIPELINE.name, subjects=(subject,))
    try:
        end = (await reader.info()).state.last_seq
        async with aclosing(reader.read(end=end)) as messages:
            found = [read_status(message) async for message in messages]
    except NotFoundError:
        return []
    return [status for status in found if status is not None]


async def _cancel(connection: NatsConnection, request_id: str) -> None:
    request = CancelRequest(request_id=request_id, reason="asked for at the command line")
    fields: dict[str, headers.HeaderValue] = {
        headers.CONTENT_TYPE: Encoding.MSGPACK.value,
        headers.MESSAGE_TYPE: request.schema_name,
    }
    await connection.publish(PIPELINE_CANCEL.format(request_id=request_id), encode(request), headers=fields)


def _dated(status: PipelineStatus) -> str:
    when = moment(status.timestamp) or moment(status.submitted_at)
    return f"{when.strftime('%Y-%m-%d %H:%M:%S') if when else '-':19}  {line_of(status)}"
