"""Follows a key-value bucket: every value that it has, then every change, as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError, UpstreamUnavailableError
from handler_base.messages.streams import BucketSpec
from handler_base.nats_client._backoff import Backoff
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.headers import header
from handler_base.nats_client.jetstream_api import JetStreamApi
from handler_base.nats_client.key_value import KeyValueEntry
from handler_base.nats_client.publishing import ApiError
from handler_base.nats_client.subscription import Subscription
from handler_base.telemetry import metrics

__all__ = ["KeyWatch"]

log = logging.getLogger(__name__)

_UNUSED: Final = timedelta(seconds=10)
"""When the server forgets the consumer of a watcher that died."""

_NANOSECONDS: Final = 1_000_000_000
_SHORT_FORM: Final = 9
_OPERATION: Final = "KV-Operation"


class KeyWatch:
    """Tells of the values of a bucket; of some of them again whenever the link was made anew.

    Args:
        connection: To the server.
        bucket: Which.
        on_change: Told of each value, in the order of their changes; it must not block.
    """

    def __init__(
        self, connection: NatsConnection, bucket: BucketSpec, on_change: Callable[[KeyValueEntry], None]
    ) -> None:
        self._connection = connection
        self._api = JetStreamApi(connection, timeout=timedelta(seconds=2))
        self._stream = bucket.stream
        self._prefix = f"$KV.{bucket.name}."
        self._on_change = on_change
        self._subscription: Subscription | None = None
        self._loaded = asyncio.Event()
        self._expected = 0
        self._restarting: asyncio.Task[None] | None = None
        self._closed = False
        self._stop_following = connection.on_reconnect(self.again)

    async def start(self) -> None:
        """Begin; when this returns, every value was told.

        Raises:
            FleetError: JetStream is away.
        """
        await self._follow()
        await self._loaded.wait()

    def again(self) -> None:
        """Begin anew, since something may have been missed."""
        if self._restarting is None and not self._closed:
            self._restarting = asyncio.get_running_loop().create_task(self._restart())

    async def stop(self) -> None:
        """Follow no more."""
        self._closed = True
        self._stop_following()
        if self._restarting is not None:
            self._restarting.cancel()
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _restart(self) -> None:
        backoff = Backoff(first=0.05, most=1.0)
        try:
            while not self._closed:
                try:
                    await self._follow()
                except FleetError:
                    metrics.SWALLOWED_ERRORS.of("watch").inc()
                    await asyncio.sleep(backoff.pause())
                else:
                    return
        finally:
            self._restarting = None

    async def _follow(self) -> None:
        before, self._subscription = self._subscription, None
        if before is not None:
            await before.unsubscribe()
        inbox = self._connection.new_inbox()
        self._expected = 1
        self._subscription = self._connection.listen(inbox, self._on_message)
        made = await self._api.create_ephemeral(
            self._stream,
            {
                "deliver_subject": inbox,
                "deliver_policy": "last_per_subject",
                "ack_policy": "none",
                "replay_policy": "instant",
                "filter_subject": f"{self._prefix}>",
                "inactive_threshold": int(_UNUSED.total_seconds() * _NANOSECONDS),
                "mem_storage": True,
                "num_replicas": 1,
            },
        )
        if isinstance(made, ApiError):
            log.warning("a bucket cannot be followed", extra={"stream": self._stream, "error": made.description})
            raise UpstreamUnavailableError("The state of the service cannot be reached right now.")
        if made.num_pending == 0:
            self._loaded.set()

    def _on_message(self, msg: Msg) -> None:
        tokens = msg.reply.split(".")
        if len(tokens) < _SHORT_FORM:
            return
        at = 5 if len(tokens) == _SHORT_FORM else 7
        revision, number, pending = int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3])
        if number != self._expected:
            self.again()  # the server dropped something on its way here
        self._expected = number + 1
        gone = header(msg.headers, _OPERATION) is not None
        self._on_change(KeyValueEntry(msg.subject.removeprefix(self._prefix), b"" if gone else msg.data, revision))
        if pending == 0:
            self._loaded.set()
