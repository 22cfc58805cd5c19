"""The link to Valkey or Redis: one connection a process, made when it is needed and again when it was lost.

A general client costs a fifth of what a question may cost in all, for pools, retries, clusters and transactions
that sessions do not use. What this one promises is small: a command brings its own reply, an error, or nothing
within its time; after a failure the store is left alone for a moment; and it comes back by itself.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any, Final

from handler_base.sessions.address import StoreAddress
from handler_base.sessions.wire import (
    Argument,
    LinkDownError,
    LinkError,
    RefusedError,
    Settled,
    Wire,
    error_code,
    pack,
)

__all__ = ["Argument", "LinkDownError", "LinkError", "RefusedError", "Settled", "ValkeyLink", "error_code", "pack"]

_PAUSE: Final = 1.0
"""Seconds the store is left alone after it failed."""

_CONNECT_SECONDS: Final = 1.0
"""What connecting may take; who needs the connection does not wait that long, but finds it made a moment later."""

_MOST_QUEUED: Final = 1024
"""Commands that may wait for a connection."""


class ValkeyLink:
    """A store that is asked one command at a time, by many at once.

    Args:
        url: See `StoreAddress.parse`.
        timeout: What a command may cost, with the connecting it needs.
        prepare: Commands every new connection begins with; they may be refused.

    Raises:
        ValueError: The URL is none.
    """

    def __init__(self, url: str, *, timeout: timedelta, prepare: Sequence[tuple[Argument, ...]] = ()) -> None:
        self._address = StoreAddress.parse(url)
        self._timeout = timeout.total_seconds()
        self._prepare = prepare
        self._tls: ssl.SSLContext | None = None
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._paused_until = 0.0
        self._queued: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def available(self) -> bool:
        """Whether nothing failed, or enough time has passed to try again."""
        return not self._closed and time.monotonic() >= self._paused_until

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._wire is not None

    async def open(self) -> None:
        """Connect ahead of the first command.

        Raises:
            LinkDownError: It could not be done now; the first command tries again.
        """
        self._closed = False
        if self._wire is not None:
            return
        connecting = self._connect()
        await asyncio.wait({connecting}, timeout=self._timeout)
        if not connecting.done():
            raise LinkDownError("slow")
        connecting.result()

    def call(self, *command: Argument) -> Awaitable[Any]:
        """Send a command; what is returned brings its reply.

        Raises:
            LinkDownError: The store is away, silent, or was a moment ago; at once or when awaited.
            RefusedError: It answered with an error.
            UnicodeEncodeError: An argument is no text.
        """
        return self.send(pack(*command))

    def send(self, command: bytes) -> Awaitable[Any]:
        """Send a command that is written as `pack` does; otherwise as `call`."""
        wire = self._wire
        if wire is not None:
            return wire.send(command)
        return self._call_connecting(command)

    def post(self, settled: Settled, command: bytes) -> None:
        """Send a command with all others of this turn of the event loop, and return at once.

        Args:
            settled: Told what became of it; before this returns, when nothing can be sent.
            command: What is sent, as `pack` writes it.
        """
        wire = self._wire
        try:
            if wire is None:
                self._queue(settled, command)
            else:
                wire.post(command, settled)
        except LinkDownError as error:
            settled(error)

    def give_up(self) -> None:
        """Throw the connection away and leave the store alone for a moment: it answers, but cannot serve."""
        self._pause()
        if self._wire is not None:
            self._wire.abort()

    async def close(self) -> None:
        """Wait for the replies that are due, then close."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._queued:
                    await asyncio.wait(self._queued)
                if self._wire is not None:
                    await self._wire.drain()
        except TimeoutError:
            pass  # What was not answered by now is settled as lost below.
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        for task in tuple(self._queued):
            task.cancel()
        if self._wire is not None:
            self._wire.abort()

    async def _call_connecting(self, command: bytes) -> Any:  # noqa: ANN401 - as `call`
        if not self.available:
            raise LinkDownError("paused")
        connecting = self._connect()
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.wait({connecting})
                if connecting.cancelled():
                    raise LinkDownError("closed")
                return await connecting.result().send(command)
        except TimeoutError:
            self._pause()
            raise LinkDownError("silent") from None

    def _queue(self, settled: Settled, command: bytes) -> None:
        """Send a command once there is a connection."""
        if len(self._queued) >= _MOST_QUEUED or not self.available:
            raise LinkDownError("paused")

        async def send() -> None:
            try:
                reply = await self._call_connecting(command)
            except LinkError as error:
                settled(error)
            else:
                settled(reply)

        task = asyncio.get_running_loop().create_task(send())
        self._queued.add(task)
        task.add_done_callback(self._queued.discard)

    def _connect(self) -> asyncio.Task[Wire]:
        """Return the one attempt to connect that is under way."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connected())
            self._connecting.add_done_callback(self._attempted)
        return self._connecting

    async def _connected(self) -> Wire:
        """Make a connection that may be used.

        Raises:
            LinkError: It could not be made.
        """
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                wire = await self._dial()
                try:
                    for command in self._address.greeting():
                        await wire.send(pack(*command))
                    prepared = [wire.send(pack(*command)) for command in self._prepare]
                    for outcome in await asyncio.gather(*prepared, return_exceptions=True):
                        if isinstance(outcome, LinkDownError) or (
                            isinstance(outcome, RefusedError) and outcome.unusable
                        ):
                            raise outcome
                    wire.allow(self._timeout)
                except BaseException:
                    wire.abort()
                    raise
        except RefusedError as error:  # the password, or the database
            raise LinkDownError(error.code) from error
        except (OSError, TimeoutError) as error:  # also what TLS raises
            raise LinkDownError("unreachable") from error
        return wire

    async def _dial(self) -> Wire:
        loop = asyncio.get_running_loop()
        address = self._address

        def made() -> Wire:
            return Wire(_CONNECT_SECONDS, self._lost)

        if address.path:
            return (await loop.create_unix_connection(made, address.path))[1]
        if address.secure and self._tls is None:
            self._tls = await asyncio.to_thread(address.tls)
        return (await loop.create_connection(made, address.host, address.port, ssl=self._tls))[1]

    def _attempted(self, task: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self._pause()
            return
        self._wire = task.result()
        self._paused_until = 0.0
        if self._closed or not self._wire.alive:
            self._wire.abort()
            self._wire = None

    def _lost(self, wire: Wire, waited_for: bool) -> None:
        """Note that a connection ended; one that was closed while idle is made again without a pause."""
        if wire is self._wire:
            self._wire = None
        if waited_for:
            self._pause()

    def _pause(self) -> None:
        self._paused_until = time.monotonic() + _PAUSE
