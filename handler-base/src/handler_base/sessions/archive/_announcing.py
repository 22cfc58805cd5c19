"""Tells the fleet that messages are in the archive.

A batch is published at once, and its acknowledgements are counted on one inbox. What the stream refuses, or does not
answer for, is published again on its own, in the way that finds out why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from handler_base.errors import FleetError
from handler_base.messages import DomainEvent, Encoding, encode
from handler_base.messages.subjects import CHAT_EVENT
from handler_base.nats_client import Msg, NatsConnection
from handler_base.nats_client.headers import CONTENT_TYPE, MESSAGE_ID, MESSAGE_TYPE, encode_headers
from handler_base.nats_client.publishing import read_publish_ack
from handler_base.sessions.conversation import ChatMessage

__all__ = ["Announcer"]

_SUBJECT: Final = CHAT_EVENT.format(name="message_stored")
_HEADERS: Final = {CONTENT_TYPE: Encoding.MSGPACK.value, MESSAGE_TYPE: DomainEvent.schema_name}
_BLOCK: Final = encode_headers(_HEADERS)[:-2] + f"{MESSAGE_ID}: ".encode()

_ANSWER_WITHIN: Final = 2.0
"""Seconds in which a stream that works acknowledges."""

_AT_A_STRETCH: Final = 100
"""Events after which others have their turn."""


class Announcer:
    """Publishes `message_stored`; told again within its window it is in the stream once.

    Args:
        connection: Where to.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._inbox = f"{connection.new_inbox()}."
        self._answers = connection.listen(f"{self._inbox}*", self._on_answer)
        self._number = 0
        self._open: dict[str, int] = {}
        self._missing: list[int] = []
        self._answered = asyncio.Event()
        self._together = True

    async def tell(self, messages: Sequence[ChatMessage]) -> list[BaseException | None]:
        """Publish the storing of messages, and wait until the stream has it; one call at a time.

        Returns:
            For each message the reason why the stream does not have it, or did not say so.
        """
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        events = [_event(message, moment) for message in messages]
        results: list[BaseException | None] = [None] * len(events)
        left = await self._tell_together(events) if self._together else [*range(len(events))]
        if left:
            told = await asyncio.gather(*(self._tell_alone(events[index]) for index in left), return_exceptions=True)
            for index, result in zip(left, told, strict=True):
                results[index] = result
            # As long as nothing is taken there is no use in waiting for it twice.
            self._together = None in told
        else:
            self._together = True
        return results

    async def close(self) -> None:
        """Let go of the inbox."""
        await self._answers.unsubscribe()

    async def _tell_together(self, events: Sequence[DomainEvent]) -> list[int]:
        """Publish events; return the places of those that the stream did not acknowledge."""
        if not self._connection.is_connected:
            return [*range(len(events))]
        self._missing = []
        self._open = {}
        for index, event in enumerate(events):
            self._publish(index, event)
            if index % _AT_A_STRETCH == _AT_A_STRETCH - 1:
                await asyncio.sleep(0)
        self._answered.clear()
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN):
                    await self._answered.wait()
        return sorted([*self._missing, *self._open.values()])

    def _publish(self, index: int, event: DomainEvent) -> None:
        self._number += 1
        token = f"{self._number:x}"
        block = b"%b%b\r\n\r\n" % (_BLOCK, event.id.encode())
        try:
            self._connection.send_encoded(_SUBJECT, encode(event), block, reply=self._inbox + token)
        except FleetError:
            self._missing.append(index)
        else:
            self._open[token] = index

    def _on_answer(self, msg: Msg) -> None:
        index = self._open.pop(msg.subject[len(self._inbox) :], None)
        if index is None:
            return  # of an attempt that was given up
        if not _is_stored(msg):
            self._missing.append(index)
        if not self._open:
            self._answered.set()

    async def _tell_alone(self, event: DomainEvent) -> None:
        await self._connection.jetstream_publish(_SUBJECT, encode(event), headers=_HEADERS, message_id=event.id)


def _is_stored(msg: Msg) -> bool:
    if msg.status:
        return False
    try:
        read_publish_ack(msg.data)
    except FleetError:
        return False
    return True


def _event(message: ChatMessage, moment: str) -> DomainEvent:
    return DomainEvent(
        id=f"{message.id}/stored",
        name="message_stored",
        occurred_at=moment,
        user_id=message.user_id,
        session_id=message.session_id,
        request_id=message.request_id,
        data={"message_id": message.id, "role": message.role},
    )
