"""Makes the link to a server, watches it, and makes the next one when it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from nats.errors import Error as NatsError
from nats.errors import NoServersError

from handler_base.errors import (
    FleetError,
    InternalError,
    InvalidRequestError,
    PermissionDeniedError,
    UpstreamUnavailableError,
)
from handler_base.nats_client._backoff import Backoff
from handler_base.nats_client._wire import WireClient
from handler_base.nats_client.options import ConnectionOptions
from handler_base.telemetry import metrics

__all__ = ["OLDEST_SERVER", "LinkOwner", "Supervisor"]

log = logging.getLogger(__name__)

OLDEST_SERVER: Final = (2, 11)
"""Older servers take, and ignore, fields they do not know."""

_SETTLED_SECONDS: Final = 5.0
_NEVER: Final = 10**9
_REFUSED: Final = ("server said", "authorization", "authentication", "maximum connections")


@dataclass(frozen=True, slots=True)
class LinkOwner:
    """What whoever uses the links does when they change."""

    attach: Callable[[WireClient], None]
    """Takes a new link into use."""
    detach: Callable[[WireClient], None]
    """Uses a link no more."""
    established: Callable[[bool], None]
    """Knows that the link works; True when it is not the first."""
    forbidden: Callable[[str], None]
    """Knows what the server forbade."""


class Supervisor:
    """Holds one link at a time, for as long as the service runs.

    Args:
        options: Where the servers are.
        owner: Who uses the links.

    Attributes:
        established: Whether a server answers on the link.
        server_version: Of the last server.
        cluster: Name of its cluster, or empty.
        connected_url: Of the server, without credentials; empty while there is none.
        round_trip: Of the last ping.
        reconnects: Links made after the first.
    """

    def __init__(self, options: ConnectionOptions, owner: LinkOwner) -> None:
        self._options = options
        self._owner = owner
        self._servers = list(options.servers)
        random.shuffle(self._servers)
        first = options.reconnect_min.total_seconds()
        self._unreachable = Backoff(first, options.reconnect_max.total_seconds())
        self._refused = Backoff(first, options.refused_max.total_seconds())
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.established = False
        self.server_version = ""
        self.cluster = ""
        self.connected_url = ""
        self.round_trip: timedelta | None = None
        self.reconnects = 0

    async def start(self, timeout: timedelta | None) -> None:
        """Wait for the first link; see `NatsConnection.connect`."""
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="nats-supervisor")
        await asyncio.wait({self._first}, timeout=timeout.total_seconds() if timeout else None)
        if not self._first.done():
            raise UpstreamUnavailableError("No NATS server answers.")
        self._first.result()

    async def stop(self) -> None:
        """End the link and make no other."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            server = self._servers[0]
            began = time.monotonic()
            connected, error = await self._one_link(server)
            # A traceback would keep the frames of a link, and with them its buffers, until the next error.
            error.__traceback__ = None
            # Stopped: a cancellation that came together with the failure may have been forgotten, see `_dial`.
            if self._task is None or self._fail_first(error):
                return
            pause = self._pause(connected, time.monotonic() - began, error)
            log.log(
                logging.WARNING if connected or self._failures == 1 else logging.DEBUG,
                "the NATS link ended" if connected else "no NATS link",
                extra={"server": _without_credentials(server), "reason": str(error) or type(error).__name__},
            )
            self._servers.append(self._servers.pop(0))
            await asyncio.sleep(pause)

    @property
    def _failures(self) -> int:
        return self._unreachable.failures + self._refused.failures

    def _pause(self, connected: bool, lived: float, error: Exception) -> float:
        if connected and lived > _SETTLED_SECONDS:
            self._unreachable.reset()
            self._refused.reset()
        backoff = self._refused if _said_by_server(error) else self._unreachable
        at_once = connected and backoff.failures == 0
        pause = backoff.pause()
        return 0.0 if at_once else pause

    async def _one_link(self, server: str) -> tuple[bool, Exception]:
        """Make a link and keep it until it ends.

        Returns:
            Whether it ever worked, and why it ended.
        """
        ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        def lost(error: Exception) -> None:
            if not ended.done():
                ended.set_result(error)

        client = WireClient(
            on_lost=lost,
            on_permission_violation=self._owner.forbidden,
            on_lame_duck=lambda: self._leave_lame_duck(client, lost),
        )
        watch: asyncio.Task[None] | None = None
        try:
            await self._dial(client, server)
            self._check_version(client)
            self._owner.attach(client)
            await self._first_answer(client, ended)
            self._note_established(client, server)
            watch = asyncio.create_task(self._watch(client, lost), name="nats-watchdog")
            return True, await ended
        except Exception as error:  # noqa: BLE001 - whatever ends a link, the answer is the next one; logged and counted
            if not isinstance(error, NatsError | OSError | FleetError):
                metrics.SWALLOWED_ERRORS.of("nats_link").inc()
            return False, error
        finally:
            self.established = False
            self.connected_url = ""
            if watch is not None:
                watch.cancel()
            self._owner.detach(client)
            client.abandon()

    async def _dial(self, client: WireClient, server: str) -> None:
        options = self._options
        seen: list[Exception] = []

        async def remember(error: Exception) -> None:
            seen.append(error)

        arguments: dict[str, Any] = {
            **options.credentials(),
            "servers": [server],
            "error_cb": remember,
            "allow_reconnect": False,
            # Counts down to giving this server up; the library has no way to say "try once".
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": options.connect_timeout.total_seconds(),
            "ping_interval": _NEVER,
            "flusher_queue_size": 0,
            "pending_size": 0,
        }
        if options.uses_tls:
            arguments["tls"] = await asyncio.to_thread(options.tls_context)
        try:
            async with asyncio.timeout(4 * options.connect_timeout.total_seconds()):
                await client.connect(**arguments)
        except NoServersError as error:
            raise (seen[-1] if seen else error) from None
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The library waits by `wait_for`, which before Python 3.12 forgets a cancellation that comes
            # together with the answer; whoever stops the supervisor would then wait for ever.
            raise asyncio.CancelledError
        if not client.is_connected:
            raise ConnectionError("the handshake did not end")

    async def _first_answer(self, client: WireClient, ended: asyncio.Future[Exception]) -> None:
        """Wait until the server has read the subscriptions."""
        answered = client.ping()
        waiting: set[asyncio.Future[Any]] = {answered, ended}
        timeout = self._options.connect_timeout.total_seconds()
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise ended.result()
        if not answered.done():
            raise ConnectionError("no answer to the first ping")

    async def _watch(self, client: WireClient, lost: Callable[[Exception], None]) -> None:
        interval = self._options.ping_interval.total_seconds()
        while True:
            await asyncio.sleep(interval)
            # Twice: a loop that was held up elsewhere then has time to read an answer that is already here.
            if not await self._ping(client, interval / 2) and not await self._ping(client, interval / 2):
                lost(ConnectionError("two pings without an answer"))
                return

    async def _ping(self, client: WireClient, timeout: float) -> bool:
        began = time.monotonic()
        done, _ = await asyncio.wait({client.ping()}, timeout=timeout)
        if done:
            self.round_trip = timedelta(seconds=time.monotonic() - began)
        return bool(done)

    def _leave_lame_duck(self, client: WireClient, lost: Callable[[Exception], None]) -> None:
        """Move on where there is another server; a lone one is used as long as it lasts."""
        if len(self._servers) > 1 and self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(client, lost), name="nats-lame-duck")

    async def _leave(self, client: WireClient, lost: Callable[[Exception], None]) -> None:
        client.stop_listening_to_all()
        await asyncio.wait({client.ping()}, timeout=self._options.connect_timeout.total_seconds())
        self._leaving = None
        lost(ConnectionError("the server is shutting down"))

    def _check_version(self, client: WireClient) -> None:
        self.server_version = client.server_version
        numbers = tuple(int(part) for part in self.server_version.split(".")[:2] if part.isdigit())
        if len(numbers) == 2 and numbers < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise InternalError(f"The NATS server is version {self.server_version}; {oldest} or later is needed.")

    def _note_established(self, client: WireClient, server: str) -> None:
        self._servers += [url for url in _announced(server, client.known_servers) if url not in self._servers]
        self.connected_url = _without_credentials(server)
        self.cluster = client.cluster
        self.established = True
        again = self._first is not None and self._first.done()
        if again:
            self.reconnects += 1
        elif self._first is not None:
            self._first.set_result(None)
        log.info("connected to NATS", extra={"server": self.connected_url, "version": self.server_version})
        self._owner.established(again)

    def _fail_first(self, error: Exception) -> bool:
        """Tell whoever waits for the first link that there will be none."""
        if self._first is None or self._first.done():
            return False
        fatal = _fatal(error)
        if fatal is not None:
            self._first.set_exception(fatal)
        return fatal is not None


def _fatal(error: Exception) -> FleetError | None:
    if isinstance(error, InternalError):
        return error
    text = str(error).lower()
    if "authorization" in text or "authentication" in text:
        return PermissionDeniedError("The NATS server refused the credentials.")
    if "connect url" in text:
        return InvalidRequestError("The address of the NATS server is malformed.")
    return None


def _said_by_server(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in _REFUSED)


def _announced(server: str, addresses: list[str]) -> list[str]:
    """Return the URLs of the rest of a cluster, with the scheme and credentials of the server that announced it."""
    head, _, _ = server.rpartition("@")
    scheme = server.partition("://")[0] if "://" in server else "nats"
    return [f"{head}@{address}" if head else f"{scheme}://{address}" for address in addresses]


def _without_credentials(server: str) -> str:
    parts = urlsplit(server if "://" in server else f"nats://{server}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
