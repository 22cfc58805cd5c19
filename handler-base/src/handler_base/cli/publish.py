"""`fleet publish`: any message of the contract, from JSON."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from handler_base.cli.asking import error_of
from handler_base.cli.composing import compose, find_subject, message_type, read_json
from handler_base.cli.connecting import connected, refuse
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.rendering import as_json
from handler_base.cli.terminal import clean_line, fail, print_json, print_text
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InternalError,
    InvalidRequestError,
    PayloadTooLargeError,
    UpstreamUnavailableError,
)
from handler_base.messages import Encoding, Message, encode
from handler_base.messages.streams import STREAMS, StreamSpec
from handler_base.messages.subjects import subject_matches
from handler_base.nats_client import NatsConnection, headers

__all__ = ["publish"]

_STORED: Final = timedelta(seconds=3)
_MOST_JSON: Final = 64 * 1024 * 1024


async def publish(
    nats_url: str, subject: str, file: str, *, kind: str, encoding: Encoding, reply: bool, timeout: timedelta
) -> None:
    """Publish the message that a JSON file describes.

    Args:
        nats_url: From the command line.
        subject: A concrete subject of the contract.
        file: Path, or ``-`` for the standard input.
        kind: Name of the message where the subject has several; empty: by its fields.
        encoding: What it is written in.
        reply: Whether to wait for the answer and print it.
        timeout: For the answer.

    Raises:
        typer.Exit: The message is not valid, or nobody took it.
    """
    try:
        message = _read_message(subject, file, kind)
        body = encode(message, encoding)
    except FleetError as error:
        fail(error.message, ExitCode.USAGE)
    async with connected(nats_url) as connection:
        try:
            if reply:
                await _request(connection, subject, message, body, encoding, timeout)
            else:
                await _send(connection, subject, message, body, encoding)
        except PayloadTooLargeError:
            most = connection.max_payload
            fail(f"{len(body)} bytes are too large; this server takes {most} with headers.", ExitCode.USAGE)


def _read_message(subject: str, file: str, kind: str) -> Message:
    declared = find_subject(subject)
    folder = Path.cwd()
    try:
        if file == "-":
            text = sys.stdin.read(_MOST_JSON)
        else:
            path = Path(file)
            folder = path.parent
            text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"{file} cannot be read ({error.strerror}); '-' reads the standard input.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{file} is not UTF-8 text; the message is written as JSON.") from error
    value = read_json(text)
    return compose(message_type(declared, value, kind), value, folder)


def _headers(message: Message, encoding: Encoding) -> dict[str, headers.HeaderValue]:
    return {headers.CONTENT_TYPE: encoding.value, headers.MESSAGE_TYPE: message.schema_name}


async def _send(connection: NatsConnection, subject: str, message: Message, body: bytes, encoding: Encoding) -> None:
    fields = _headers(message, encoding)
    stream = _stream_of(subject)
    told = f"{type(message).__name__}, {len(body)} bytes, on {clean_line(subject)}"
    if stream is None:
        await connection.publish(subject, body, headers=fields)
        await connection.flush()
        print_text(f"Published {told}.")
        return
    try:
        ack = await connection.jetstream_publish(subject, body, headers=fields, timeout=_STORED)
    except (UpstreamUnavailableError, DeadlineExceededError, InternalError):
        fail(
            f"Stream {stream.name} does not store {clean_line(subject)}; start the service that owns it, "
            "or look at `fleet streams`.",
            ExitCode.NO_ANSWER,
        )
    print_text(f"Published {told}, stored in {ack.stream} as {ack.sequence}.")


async def _request(
    connection: NatsConnection, subject: str, message: Message, body: bytes, encoding: Encoding, timeout: timedelta
) -> None:
    fields = {**_headers(message, encoding), headers.DEADLINE_MS: int(timeout.total_seconds() * 1000)}
    try:
        msg = await connection.request(subject, body, headers=fields, timeout=timeout)
    except UpstreamUnavailableError:
        fail(
            f"No service is listening on {clean_line(subject)}; `make run` starts the fleet, `fleet status` shows it.",
            ExitCode.NO_ANSWER,
        )
    except DeadlineExceededError:
        fail(f"No answer came within {timeout.total_seconds():g} s; --timeout waits longer.", ExitCode.NO_ANSWER)
    answer = as_json(msg.data, msg.headers)
    print_json(answer)
    error = error_of(msg)
    if error is not None:
        refuse(error)


def _stream_of(subject: str) -> StreamSpec | None:
    return next((one for one in STREAMS if any(subject_matches(p, subject) for p in one.subjects)), None)
