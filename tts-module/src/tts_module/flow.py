"""No more sound than NATS takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from handler_base.deadline import Deadline
from handler_base.errors import UpstreamUnavailableError
from handler_base.nats_client import NatsConnection

__all__ = ["WINDOW", "Flow"]

WINDOW: Final = 256 * 1024
"""Bytes of a speech that may be on their way to the NATS server; 5 s at 24 kHz."""


class Flow:
    """Holds a speech back while the NATS server has not read what was sent of it.

    Without this the line to the socket would fill with sound, and a cancel would be told behind all of it.

    Args:
        connection: The service's own.
        deadline: When the speech is due.
    """

    def __init__(self, connection: NatsConnection, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._unread = 0

    async def sent(self, size: int) -> None:
        """Note what was sent; wait where it is much.

        Raises:
            DeadlineExceededError: The server did not read it in time.
        """
        self._unread += size
        if self._unread < WINDOW:
            return
        self._unread = 0
        try:
            await self._connection.flush(timeout=timedelta(seconds=self._deadline.remaining()))
        except UpstreamUnavailableError:
            # The link is being made again. What is sent meanwhile waits, and there is an end to that as well.
            return
