"""Tells the fleet that a message is in the archive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from handler_base.messages import DomainEvent, Encoding, encode
from handler_base.messages.subjects import CHAT_EVENT
from handler_base.nats_client import NatsConnection
from handler_base.nats_client.headers import CONTENT_TYPE, MESSAGE_TYPE
from handler_base.sessions.archive.records import ArchivedMessage

__all__ = ["announce_stored"]

_SUBJECT: Final = CHAT_EVENT.format(name="message_stored")
_HEADERS: Final = {CONTENT_TYPE: Encoding.MSGPACK.value, MESSAGE_TYPE: DomainEvent.schema_name}


async def announce_stored(connection: NatsConnection, message: ArchivedMessage) -> None:
    """Publish `message_stored` and wait until the stream has it; told again within its window it is there once.

    Raises:
        FleetError: The stream does not have it, or did not say so.
    """
    event = DomainEvent(
        id=f"{message.id}/stored",
        name="message_stored",
        occurred_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        user_id=message.user_id,
        session_id=message.session_id,
        request_id=message.request_id,
        data={"message_id": message.id, "role": message.role},
    )
    await connection.jetstream_publish(_SUBJECT, encode(event), headers=_HEADERS, message_id=event.id)
