"""A connection for the length of a command, and failures as one line with an exit code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, NoReturn, TypeVar

import typer

from handler_base.cli.environment import read_settings, without_credentials
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import fail
from handler_base.config import Settings
from handler_base.errors import FleetError, InvalidRequestError, PermissionDeniedError, UpstreamUnavailableError
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, options_from_settings

__all__ = ["connected", "jetstream", "no_service", "refuse", "run_command"]

T = TypeVar("T")

_CONNECT_TIMEOUT: Final = timedelta(seconds=2)
_CLOSE_BUDGET: Final = timedelta(seconds=1)


def run_command(command: Coroutine[None, None, T]) -> T:
    """Run a command to its end; what goes wrong ends the process with a line and a code.

    Raises:
        typer.Exit: It failed or was interrupted.
    """
    # A command says what happened in its own words; the library's log is for services.
    library = logging.getLogger("handler_base")
    level = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        return asyncio.run(command)
    except FleetError as error:
        fail(error.message, ExitCode.FLEET_ERROR)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    finally:
        library.setLevel(level)


@asynccontextmanager
async def connected(nats_url: str) -> AsyncIterator[NatsConnection]:
    """Yield a connection to NATS, or end the command.

    Args:
        nats_url: From the command line; empty: the settings'.

    Raises:
        typer.Exit: NATS cannot be reached or refuses.
    """
    settings = read_settings(Settings, nats_url=nats_url)
    servers = without_credentials(settings.nats_url)
    connection = NatsConnection(options_from_settings(settings, "fleet-cli"))
    try:
        await connection.connect(timeout=_CONNECT_TIMEOUT)
    except PermissionDeniedError:
        fail(
            f"NATS at {servers} refuses the credentials; check NATS_USER, NATS_PASSWORD, NATS_TOKEN or NATS_CREDS.",
            ExitCode.NATS_UNREACHABLE,
        )
    except InvalidRequestError as error:
        fail(f"{error.message} Check NATS_URL: {servers}.", ExitCode.USAGE)
    except (FleetError, OSError, ValueError):
        fail(
            f"NATS cannot be reached at {servers}; start the fleet with `make run`, or set NATS_URL.",
            ExitCode.NATS_UNREACHABLE,
        )
    try:
        yield connection
    finally:
        await connection.close(_CLOSE_BUDGET)


@asynccontextmanager
async def jetstream(nats_url: str) -> AsyncIterator[tuple[NatsConnection, JetStreamApi]]:
    """Yield a connection to a server that has JetStream, or end the command.

    Raises:
        typer.Exit: There is no such server.
    """
    async with connected(nats_url) as connection:
        api = JetStreamApi(connection)
        try:
            answer = await api.stream_names()
        except UpstreamUnavailableError:
            answer = ApiError(code=503)
        if isinstance(answer, ApiError):
            fail(
                f"JetStream does not answer at {connection.connected_url}; "
                "start nats-server with JetStream (`nats-server -js`, or `make run`).",
                ExitCode.NO_ANSWER,
            )
        yield connection, api


def refuse(error: FleetError) -> NoReturn:
    """End the command with an error of the fleet.

    Raises:
        typer.Exit: Always.
    """
    later = f" Try again in {error.retry_after.total_seconds():.1f} s." if error.retry_after else ""
    fail(f"{error.message}{later} ({error.type.value})", ExitCode.FLEET_ERROR)


def no_service(connection: NatsConnection, name: str) -> NoReturn:
    """End the command because nobody listens.

    Raises:
        typer.Exit: Always.
    """
    if not connection.is_connected:
        fail("The connection to NATS was lost; start it again with `make run`.", ExitCode.NATS_UNREACHABLE)
    fail(f"No {name} is listening on {connection.connected_url}; start the fleet with `make run`.", ExitCode.NO_ANSWER)
