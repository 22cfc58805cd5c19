"""`fleet dlq`: work that was given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from handler_base.cli.connecting import jetstream
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.rendering import as_json as message_as_json
from handler_base.cli.terminal import clean_line, fail, make_table, print_json, print_table, print_text, warn
from handler_base.errors import FleetError, NotFoundError, UpstreamUnavailableError
from handler_base.nats_client import DeadLetter, DeadLetters

__all__ = ["list_records", "replay", "show"]


async def list_records(nats_url: str, *, stream: str, consumer: str, limit: int, as_json: bool) -> None:
    """List the records, oldest first.

    Args:
        nats_url: From the command line.
        stream: Only those from a stream; empty: all.
        consumer: Only those a consumer gave up; empty: all.
        limit: Most records; 0: all.
        as_json: Whether to print a JSON array.
    """
    records: list[DeadLetter] = []
    more = False
    async with jetstream(nats_url) as (connection, _):
        async for record in _records(DeadLetters(connection), stream, consumer):
            if limit and len(records) == limit:
                more = True
                break
            records.append(record)
    if as_json:
        print_json([_summary(record) for record in records])
        return
    if not records:
        print_text("No dead letters.")
        return
    table = make_table("", "record#", "given up", "stream", "consumer", "subject", "attempts#", "reason", "description")
    for record in records:
        origin = record.origin
        table.add_row(
            str(record.sequence),
            _shown_time(record.buried_at),
            clean_line(origin.stream),
            clean_line(origin.consumer),
            clean_line(origin.subject),
            str(origin.attempts),
            clean_line(record.reason),
            clean_line(record.description, 80),
        )
    print_table(table)
    if more:
        print_text(f"There are more; --limit 0 lists all of them, `fleet dlq show {records[0].sequence}` one.")


async def show(nats_url: str, sequence: int, *, save: Path | None) -> None:
    """Print one record with its message as JSON.

    Args:
        nats_url: From the command line.
        sequence: Of the record.
        save: File for the original bytes.

    Raises:
        typer.Exit: There is no such record.
    """
    async with jetstream(nats_url) as (connection, _):
        try:
            record = await DeadLetters(connection).show(sequence)
        except NotFoundError:
            fail(f"There is no dead letter {sequence}; `fleet dlq list` lists them.", ExitCode.FLEET_ERROR)
    if save is not None:
        try:
            await asyncio.to_thread(save.write_bytes, record.payload)
        except OSError as error:
            fail(f"The message cannot be saved: {error}.", ExitCode.USAGE)
    print_json(
        {
            **_summary(record),
            "headers": dict(record.headers),
            "bytes": len(record.payload),
            "body_omitted": record.body_omitted,
            "message": message_as_json(record.payload, record.headers, record.origin.subject),
        }
    )


async def replay(nats_url: str, sequences: Sequence[int], *, everything: bool, stream: str, consumer: str) -> None:
    """Publish messages again on their subjects and take their records away.

    Args:
        nats_url: From the command line.
        sequences: The records.
        everything: All of them, of `stream` and `consumer` where these are given.
        stream: See `list_records`.
        consumer: See `list_records`.

    Raises:
        typer.Exit: One of them failed.
    """
    failed = 0
    async with jetstream(nats_url) as (connection, _):
        letters = DeadLetters(connection)
        if everything:
            # The end is fixed before the start: what fails again must not be replayed for ever.
            sequences = [record.sequence async for record in _records(letters, stream, consumer)]
        for sequence in sequences:
            try:
                record = await letters.replay(sequence)
            except FleetError as error:
                failed += 1
                warn(f"record {sequence}: {_why(error)}")
            else:
                print_text(f"record {sequence}: published again on {clean_line(record.origin.subject)}")
    if failed:
        fail(f"{failed} of {len(sequences)} records could not be replayed and are kept.", ExitCode.FLEET_ERROR)
    if not sequences:
        print_text("No dead letters.")


async def _records(letters: DeadLetters, stream: str, consumer: str) -> AsyncIterator[DeadLetter]:
    try:
        async for record in letters.records(stream=stream or "*", consumer=consumer or "*"):
            yield record
    except NotFoundError:
        return  # the stream is made with the first service that works durably


def _why(error: FleetError) -> str:
    if isinstance(error, NotFoundError):
        return "there is no such dead letter"
    if isinstance(error, UpstreamUnavailableError):
        return "no stream captures its subject now; start the service that owns it"
    return error.message


def _summary(record: DeadLetter) -> dict[str, object]:
    origin = record.origin
    return {
        "record": record.sequence,
        "given_up_at": record.buried_at.astimezone(UTC).isoformat(),
        "reason": record.reason,
        "description": record.description,
        "attempts": origin.attempts,
        "subject": origin.subject,
        "stream": origin.stream,
        "consumer": origin.consumer,
        "sequence": origin.sequence,
        "published_at": origin.published_at.astimezone(UTC).isoformat(),
    }


def _shown_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
