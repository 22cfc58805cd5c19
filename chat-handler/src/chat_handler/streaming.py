"""The pieces of a chat answer on the wire."""

from __future__ import annotations

from handler_base.errors import FleetError
from handler_base.messages import ChatStreamChunk, unix_now

__all__ = ["ChatStream"]


class ChatStream:
    """Makes the `ChatStreamChunk` messages of one answer; a piece is text.

    Args:
        request_id: The question's.
    """

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def chunk(self, sequence: int, piece: str) -> ChatStreamChunk:
        """Return the message for a piece of text."""
        return ChatStreamChunk(request_id=self._request_id, content=piece, timestamp=unix_now(), sequence=sequence)

    def end(self, sequence: int) -> ChatStreamChunk:
        """Return the end marker."""
        return ChatStreamChunk(
            request_id=self._request_id, type="done", done=True, timestamp=unix_now(), sequence=sequence
        )

    def error(self, sequence: int, error: FleetError) -> ChatStreamChunk:
        """Return the end marker that says what went wrong."""
        return ChatStreamChunk(
            request_id=self._request_id,
            type="error",
            content=error.message,
            done=True,
            timestamp=unix_now(),
            sequence=sequence,
            error_type=error.type.value,
        )
