"""`fleet trigger`: a run started, and followed to its end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import typer

from handler_base.cli.connecting import jetstream
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.pipelines.following import FINAL, Run
from handler_base.cli.pipelines.showing import Display, display, exit_code
from handler_base.cli.terminal import fail, warn
from handler_base.errors import InvalidRequestError, UpstreamUnavailableError
from handler_base.messages import Encoding, PipelineStatus, PipelineTrigger, encode
from handler_base.messages.subjects import PIPELINE, PIPELINE_TRIGGER, check_token
from handler_base.nats_client import NatsConnection, headers
from handler_base.nats_client.publishing import read_publish_ack

__all__ = ["Wanted", "read_parameters", "to_the_end", "trigger"]

_STORE_TIMEOUT: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be started.

    Attributes:
        pipeline: Its name.
        parameters: By name.
        request_id: Of the request; empty: one is made.
    """

    pipeline: str
    parameters: dict[str, str]
    request_id: str


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Read parameters as they are typed: ``key=value``; the value may be empty or have more of the sign.

    Raises:
        typer.BadParameter: One has no name, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE.", param_hint="-p")
        if name in found:
            raise typer.BadParameter(f"{name!r} is given twice.", param_hint="-p")
        found[name] = value
    return found


async def trigger(nats_url: str, wanted: Wanted, *, follow: bool, as_json: bool, timeout: timedelta) -> None:
    """Start a run and print its first status, or all that comes.

    Args:
        nats_url: From the command line.
        wanted: What is to be started.
        follow: Whether to go on to the end of the run.
        as_json: Whether to print a JSON object a status.
        timeout: Time for the first status.

    Raises:
        typer.Exit: The run failed, was refused, or no bridge answers.
    """
    request_id = wanted.request_id or str(uuid.uuid4())
    try:
        check_token("--request-id", request_id)
    except InvalidRequestError as error:
        fail(error.message, ExitCode.USAGE)
    async with jetstream(nats_url) as (connection, _), Run.follow(connection, request_id) as run:
        await _publish(connection, PipelineTrigger(request_id, wanted.pipeline, wanted.parameters))
        with display(as_json=as_json) as show:
            first = await _first(run, request_id, timeout)
            show(first)
            last = await to_the_end(run, show, request_id) if follow and first.status not in FINAL else first
    if not follow and not as_json and last.status not in FINAL:
        warn(f"follow it with: fleet runs {request_id} --follow")
    raise typer.Exit(int(exit_code(last)))


async def to_the_end(run: Run, show: Display, request_id: str) -> PipelineStatus:
    """Show a run until it has ended; return its last status.

    Ctrl-C leaves the run alone.
    """
    last = PipelineStatus()
    try:
        async with aclosing(run.statuses()) as statuses:
            async for status in statuses:
                show(status)
                last = status
    except asyncio.CancelledError:
        warn(f"the run goes on; see: fleet runs {request_id} --follow, or --cancel")
        raise
    return last


async def _publish(connection: NatsConnection, request: PipelineTrigger) -> None:
    fields: dict[str, headers.HeaderValue] = {
        headers.CONTENT_TYPE: Encoding.MSGPACK.value,
        headers.MESSAGE_TYPE: request.schema_name,
        headers.MESSAGE_ID: request.request_id,
    }
    try:
        answer = await connection.request(
            PIPELINE_TRIGGER.template, encode(request), headers=fields, timeout=_STORE_TIMEOUT
        )
        # The bridge answers into the inbox as well, and may be the first.
        if headers.header(answer.headers, headers.MESSAGE_TYPE) is None:
            read_publish_ack(answer.data)
    except UpstreamUnavailableError:
        fail(f"No stream takes triggers yet: no {PIPELINE} has run here. Start the fleet.", ExitCode.NO_ANSWER)


async def _first(run: Run, request_id: str, timeout: timedelta) -> PipelineStatus:
    try:
        async with asyncio.timeout(timeout.total_seconds()), aclosing(run.statuses()) as statuses:
            return await anext(statuses)
    except TimeoutError:
        fail(
            f"No {PIPELINE} has taken it within {timeout.total_seconds():g} s. It is kept, and is run when one does; "
            f"see: fleet runs {request_id}",
            ExitCode.NO_ANSWER,
        )
