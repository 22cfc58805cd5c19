"""No more sound than NATS and the listener take."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Final

from handler_base.deadline import Deadline
from handler_base.errors import UpstreamUnavailableError
from handler_base.handler.audio_stream import Chunk
from handler_base.nats_client import NatsConnection

__all__ = ["WINDOW", "Flow"]

WINDOW: Final = 256 * 1024
"""Bytes of a speech that may be on their way to the NATS server; 5 s at 24 kHz."""


class Flow:
    """Holds a speech back while the NATS server has not read what was sent of it, or the listener cannot have.

    Without this the line to the socket would fill with sound, and a cancel would be told behind all of it. A listener
    tells nobody what it has heard; but it cannot have heard more than there was time for.

    Args:
        connection: The service's own.
        deadline: When the speech is due.
        lead: How far the sound may be ahead of its being played; zero: as far as it likes.
    """

    def __init__(self, connection: NatsConnection, deadline: Deadline, lead: timedelta) -> None:
        self._connection = connection
        self._deadline = deadline
        self._lead = lead.total_seconds()
        self._unread = 0
        self._played_at = 0.0

    async def sent(self, chunk: Chunk) -> None:
        """Note what was sent; wait where it is much.

        Raises:
            DeadlineExceededError: The server did not read it in time.
        """
        self._unread += len(chunk.audio)
        if self._unread >= WINDOW:
            self._unread = 0
            await self._read()
        if self._lead:
            now = time.monotonic()
            # What comes late is played when it comes.
            self._played_at = max(self._played_at, now) + chunk.seconds
            ahead = self._played_at - now - self._lead
            if ahead > 0:
                await asyncio.sleep(ahead)

    async def _read(self) -> None:
        try:
            await self._connection.flush(timeout=timedelta(seconds=self._deadline.remaining()))
        except UpstreamUnavailableError:
            # The link is being made again. What is sent meanwhile waits, and there is an end to that as well.
            return
