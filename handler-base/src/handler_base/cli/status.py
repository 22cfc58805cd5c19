"""`fleet status`: which services answer, and how they fare."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from handler_base.cli.connecting import connected
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import clean_line, fail, make_table, print_json, print_table
from handler_base.nats_client import discover

__all__ = ["status"]

_QUIET: Final = timedelta(milliseconds=500)
"""How long nothing may come before all services are taken to have answered."""

_NANOSECONDS: Final = 1_000_000


class _Endpoint(msgspec.Struct):
    name: str = ""
    subject: str = ""
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    data: dict[str, Any] | None = None


class _Instance(msgspec.Struct):
    """One answer to STATS."""

    name: str = ""
    id: str = ""
    version: str = ""
    started: str = ""
    endpoints: list[_Endpoint] | None = None


async def status(nats_url: str, name: str, *, as_json: bool, by_endpoint: bool) -> None:
    """List the services that answer.

    Args:
        nats_url: From the command line.
        name: Only services of this name; empty: all.
        as_json: Whether to print a JSON array.
        by_endpoint: Whether each endpoint gets a row.

    Raises:
        typer.Exit: None answered.
    """
    async with connected(nats_url) as connection:
        answers = await discover(connection, "STATS", name=name, wait=_QUIET)
        server = connection.connected_url
    instances = sorted(
        (instance for instance in map(_read, answers) if instance is not None), key=lambda one: (one.name, one.id)
    )
    if as_json:
        print_json([_as_json(instance) for instance in instances])
    elif instances:
        print_table(_by_endpoint(instances) if by_endpoint else _by_instance(instances))
    if not instances:
        fail(f"No {name or 'service'} answers at {server}; start the fleet with `make run`.", ExitCode.NO_ANSWER)


def _read(answer: Mapping[str, object]) -> _Instance | None:
    try:
        return msgspec.convert(answer, _Instance)
    except msgspec.ValidationError:
        return None


def _as_json(instance: _Instance) -> dict[str, object]:
    endpoints = instance.endpoints or []
    return {
        "name": instance.name,
        "version": instance.version,
        "id": instance.id,
        "started": instance.started,
        "health": _health(instance),
        "in_flight": _in_flight(instance),
        "requests": sum(endpoint.num_requests for endpoint in endpoints),
        "errors": sum(endpoint.num_errors for endpoint in endpoints),
        "average_ms": _average_ms(endpoints),
        "endpoints": [
            {
                "name": endpoint.name,
                "subject": endpoint.subject,
                "requests": endpoint.num_requests,
                "errors": endpoint.num_errors,
                "last_error": endpoint.last_error,
                "average_ms": _average_ms([endpoint]),
                "data": endpoint.data or {},
            }
            for endpoint in endpoints
        ],
    }


def _by_instance(instances: list[_Instance]) -> Any:  # noqa: ANN401 - rich is imported late
    table = make_table(
        "", "service", "version", "instance", "endpoints#", "requests#", "errors#", "average#", "in flight#", "health"
    )
    for instance in instances:
        endpoints = instance.endpoints or []
        table.add_row(
            clean_line(instance.name),
            clean_line(instance.version),
            clean_line(instance.id, 10),
            str(len(endpoints)),
            str(sum(endpoint.num_requests for endpoint in endpoints)),
            str(sum(endpoint.num_errors for endpoint in endpoints)),
            _shown_ms(_average_ms(endpoints)),
            clean_line(str(_shown(_in_flight(instance)))),
            clean_line(_shown(_health(instance))),
        )
    return table


def _by_endpoint(instances: list[_Instance]) -> Any:  # noqa: ANN401 - rich is imported late
    table = make_table(
        "", "service", "instance", "endpoint", "subject", "requests#", "errors#", "average#", "last error"
    )
    for instance in instances:
        for endpoint in instance.endpoints or []:
            table.add_row(
                clean_line(instance.name),
                clean_line(instance.id, 10),
                clean_line(endpoint.name),
                clean_line(endpoint.subject),
                str(endpoint.num_requests),
                str(endpoint.num_errors),
                _shown_ms(_average_ms([endpoint])),
                clean_line(endpoint.last_error, 60),
            )
    return table


def _average_ms(endpoints: list[_Endpoint]) -> float:
    requests = sum(endpoint.num_requests for endpoint in endpoints)
    spent = sum(endpoint.processing_time for endpoint in endpoints)
    return round(spent / requests / _NANOSECONDS, 3) if requests else 0.0


def _health(instance: _Instance) -> str:
    """Return what the service says of itself, with each endpoint."""
    said = ((endpoint.data or {}).get("health") for endpoint in instance.endpoints or [])
    return str(next(filter(None, said), ""))


def _in_flight(instance: _Instance) -> int | None:
    """Return the requests under way, which each endpoint tells of the whole service."""
    counts = [(endpoint.data or {}).get("in_flight") for endpoint in instance.endpoints or []]
    known = [count for count in counts if isinstance(count, int)]
    return max(known, default=None)


def _shown(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def _shown_ms(value: float) -> str:
    return f"{value:.1f} ms" if value else "-"
