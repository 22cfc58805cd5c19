"""`fleet pipelines`: what may be triggered, as the pipeline-bridge tells it in `$SRV.INFO`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from handler_base.cli.connecting import connected
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import clean_line, fail, print_json, print_text
from handler_base.messages.subjects import PIPELINE
from handler_base.nats_client import discover

__all__ = ["pipelines"]

_QUIET: Final = timedelta(milliseconds=500)
"""How long nothing may come before all replicas are taken to have answered."""


class _Parameter(msgspec.Struct):
    name: str
    type: str = "string"
    required: bool = False
    default: str | int | float | bool | None = None
    allowed: list[str | int | float | bool] = msgspec.field(default_factory=list)
    description: str = ""


class _Pipeline(msgspec.Struct):
    name: str
    engine: str = ""
    description: str = ""
    parameters: list[_Parameter] = msgspec.field(default_factory=list)


class _Info(msgspec.Struct):
    """One answer to INFO."""

    id: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


async def pipelines(nats_url: str, name: str, *, as_json: bool) -> None:
    """Print the pipelines with their parameters.

    Args:
        nats_url: From the command line.
        name: Only this one; empty: all.
        as_json: Whether to print a JSON array.

    Raises:
        typer.Exit: No bridge answers, or there is no such pipeline.
    """
    async with connected(nats_url) as connection:
        answers = await discover(connection, "INFO", name=PIPELINE, wait=_QUIET)
        server = connection.connected_url
    tables = [table for table in map(_read, answers) if table is not None]
    if not tables:
        fail(f"No {PIPELINE} answers at {server}; start the fleet with `make run`.", ExitCode.NO_ANSWER)
    found = [pipeline for pipeline in tables[0] if name in {"", pipeline.name}]
    if not found:
        known = ", ".join(clean_line(pipeline.name) for pipeline in tables[0])
        fail(f"There is no pipeline {name!r}. There are: {known}.", ExitCode.FLEET_ERROR)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        print_text("\n\n".join(_shown(pipeline) for pipeline in found))


def _read(answer: Mapping[str, object]) -> list[_Pipeline] | None:
    try:
        info = msgspec.convert(answer, _Info)
        return msgspec.json.decode(info.metadata["pipelines"], type=list[_Pipeline])
    except (msgspec.MsgspecError, KeyError):
        return None


def _shown(pipeline: _Pipeline) -> str:
    lines = [f"{clean_line(pipeline.name)} ({clean_line(pipeline.engine)})"]
    if pipeline.description:
        lines.append(f"  {clean_line(pipeline.description)}")
    rows = [(clean_line(one.name), clean_line(_takes(one)), clean_line(one.description)) for one in pipeline.parameters]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines += [f"    {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows]
    return "\n".join(lines)


def _takes(parameter: _Parameter) -> str:
    """Return the type of a parameter, and what it is when it is not given."""
    kind = "|".join(map(_value, parameter.allowed)) or parameter.type
    if parameter.required:
        return f"{kind}, required"
    return kind if parameter.default in {None, ""} else f"{kind} = {_value(parameter.default)}"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
