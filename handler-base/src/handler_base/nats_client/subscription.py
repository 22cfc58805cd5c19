"""Interest in a subject that outlives the link it was made on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from handler_base.nats_client._wire import MessageCallback, WireClient

__all__ = ["Subscription"]


class Subscription:
    """Interest in a subject, kept across links.

    Attributes:
        subject: The subject or pattern.
        queue: The queue group, or empty.
    """

    __slots__ = ("_callback", "_client", "_discard", "_sid", "queue", "subject")

    def __init__(
        self, subject: str, queue: str, callback: MessageCallback, *, discard: Callable[[Subscription], bool]
    ) -> None:
        self.subject = subject
        self.queue = queue
        self._discard = discard
        self._callback = callback
        self._client: WireClient | None = None
        self._sid = 0

    def attach(self, client: WireClient) -> None:
        """Subscribe on a new link."""
        self._client = client
        self._sid = client.listen(self.subject, self.queue, self._callback)

    async def drain(self, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        """End the subscription; when this returns, the last message that was under way was handed over."""
        client = self._end()
        if client is None:
            return
        await asyncio.wait({client.ping()}, timeout=timeout.total_seconds())
        client.forget(self._sid)

    async def unsubscribe(self) -> None:
        """End the subscription, and drop what is under way."""
        client = self._end()
        if client is not None:
            client.forget(self._sid)

    def _end(self) -> WireClient | None:
        """Ask the server for no more; return the link on which messages may be under way."""
        client, self._client = self._client, None
        if not self._discard(self) or client is None or not client.is_connected:
            return None
        client.stop_listening(self._sid)
        return client
