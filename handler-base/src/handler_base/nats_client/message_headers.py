"""The headers of every message that the fleet publishes."""

from __future__ import annotations

from typing import Final

from handler_base.messages import Encoding, Message
from handler_base.nats_client import headers as names

__all__ = ["message_headers"]

_plain: Final[dict[tuple[str, Encoding], dict[str, str]]] = {}


def message_headers(message: Message, encoding: Encoding) -> dict[str, str]:
    """Return the headers of every message of a kind, as a copy to add to."""
    key = (message.schema_name, encoding)
    plain = _plain.get(key)
    if plain is None:
        plain = _plain[key] = {
            names.CONTENT_TYPE: encoding.value,
            names.MESSAGE_TYPE: message.schema_name,
        }
    return plain.copy()
