"""`fleet streams`: the contract's streams as the server has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec
import typer

from handler_base.cli.connecting import jetstream
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import clean_line, make_table, print_json, print_table, print_text
from handler_base.errors import InternalError, UpstreamUnavailableError
from handler_base.messages.streams import STREAMS, StreamSpec
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, StreamManager
from handler_base.nats_client.jetstream_api import STREAM_NOT_FOUND

__all__ = ["streams"]

_TIMEOUT: Final = timedelta(seconds=5)


class _Consumer(msgspec.Struct):
    name: str
    num_pending: int = 0
    num_ack_pending: int = 0
    num_redelivered: int = 0


class _Page(msgspec.Struct):
    total: int = 0
    consumers: list[_Consumer] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    spec: StreamSpec
    present: bool
    messages: int
    size: int
    consumers: list[_Consumer]
    differences: tuple[str, ...]


async def streams(nats_url: str, *, as_json: bool, check: bool) -> None:
    """Show each stream of the contract.

    Args:
        nats_url: From the command line.
        as_json: Whether to print a JSON array.
        check: Whether a missing or different stream is a failure.

    Raises:
        typer.Exit: JetStream is away, or `check` found a difference.
    """
    async with jetstream(nats_url) as (connection, api):
        rows = [await _row(connection, api, spec) for spec in STREAMS]
    if as_json:
        print_json([_as_json(row) for row in rows])
    else:
        print_table(_table(rows))
        for row in rows:
            for difference in row.differences if row.present else ():
                print_text(clean_line(difference))
    if check and any(row.differences for row in rows):
        raise typer.Exit(int(ExitCode.FLEET_ERROR))


async def _row(connection: NatsConnection, api: JetStreamApi, spec: StreamSpec) -> _Row:
    info = await api.stream_info(spec.name)
    differences = await StreamManager(connection).verify((spec,))
    if isinstance(info, ApiError):
        if info.err_code != STREAM_NOT_FOUND:
            raise UpstreamUnavailableError(f"Stream {spec.name} cannot be read right now.")
        return _Row(spec, False, 0, 0, [], differences)
    consumers = await _consumers(connection, spec.name)
    return _Row(spec, True, info.state.messages, info.state.bytes, consumers, differences)


async def _consumers(connection: NatsConnection, stream: str) -> list[_Consumer]:
    found: list[_Consumer] = []
    while True:
        body = msgspec.json.encode({"offset": len(found)})
        msg = await connection.request(f"$JS.API.CONSUMER.LIST.{stream}", body, timeout=_TIMEOUT)
        try:
            page = msgspec.json.decode(msg.data, type=_Page)
        except msgspec.MsgspecError as error:
            raise InternalError("JetStream answered with something unexpected.") from error
        found.extend(page.consumers or [])
        if not page.consumers or len(found) >= page.total:
            return sorted(found, key=lambda consumer: consumer.name)


def _as_json(row: _Row) -> dict[str, object]:
    return {
        "name": row.spec.name,
        "present": row.present,
        "subjects": list(row.spec.subjects),
        "storage": row.spec.storage,
        "max_age_seconds": row.spec.max_age.total_seconds(),
        "messages": row.messages,
        "bytes": row.size,
        "consumers": [
            {
                "name": consumer.name,
                "pending": consumer.num_pending,
                "ack_pending": consumer.num_ack_pending,
                "redelivered": consumer.num_redelivered,
            }
            for consumer in row.consumers
        ],
        "differences": list(row.differences),
    }


def _table(rows: list[_Row]) -> Any:  # noqa: ANN401 - rich is imported late
    table = make_table(
        "", "stream", "state", "messages#", "size#", "consumer", "pending#", "ack pending#", "redelivered#"
    )
    for row in rows:
        state = "missing" if not row.present else "differs" if row.differences else "as in the contract"
        lead = (row.spec.name, state, str(row.messages), _shown_bytes(row.size))
        if not row.consumers:
            table.add_row(*lead, "none", "", "", "")
        for consumer in row.consumers:
            counts = (consumer.num_pending, consumer.num_ack_pending, consumer.num_redelivered)
            table.add_row(*lead, clean_line(consumer.name), *map(str, counts))
            lead = ("", "", "", "")
    return table


def _shown_bytes(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
