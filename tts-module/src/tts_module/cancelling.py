"""Cancel messages: each replica hears all of them, since only one has the speech."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from handler_base.errors import FleetError
from handler_base.messages import CancelRequest, decode, detect
from handler_base.messages.subjects import TTS_CANCEL
from handler_base.nats_client import Msg, NatsConnection, Subscription
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import header
from tts_module.speeches import Speeches

__all__ = ["Cancelling"]


class Cancelling:
    """Stops speeches when told to.

    Args:
        connection: Where the messages come from.
        speeches: What they stop.
    """

    def __init__(self, connection: NatsConnection, speeches: Speeches) -> None:
        self._connection = connection
        self._speeches = speeches
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen."""
        self._subscription = await self._connection.subscribe(TTS_CANCEL.pattern, self._take)

    async def stop(self, budget: timedelta) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.drain(timeout=budget)

    def _take(self, msg: Msg) -> None:
        tokens = TTS_CANCEL.match(msg.subject)
        if tokens is not None:
            # Not at once: a request that came just before has yet to be taken in, on the next turn of the loop.
            asyncio.get_running_loop().call_soon(self._speeches.cancel, tokens["session_id"], _request_id(msg))


def _request_id(msg: Msg) -> str:
    """Return the one request that is meant; empty for all of the session, and where the body makes no sense."""
    try:
        encoding = detect(msg.data, header(msg.headers, names.CONTENT_TYPE))
        return decode(CancelRequest, msg.data, encoding).request_id
    except FleetError:
        return ""
