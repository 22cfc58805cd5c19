"""Answers in pieces: numbered from 0 without gaps, one end marker, an error as an end marker too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from handler_base.errors import FleetError
from handler_base.messages import Message

__all__ = ["StreamFormat", "StreamWriter"]

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")


class StreamFormat(Protocol[T_contra]):
    """Makes the messages of a kind of stream."""

    def chunk(self, sequence: int, piece: T_contra) -> Message:
        """Return the message for a piece."""
        ...

    def end(self, sequence: int) -> Message:
        """Return the end marker."""
        ...

    def error(self, sequence: int, error: FleetError) -> Message:
        """Return the end marker that says what went wrong."""
        ...


class StreamWriter(Generic[T]):
    """Sends one stream; `Context.stream` opens it, the base closes it when the method is done.

    Attributes:
        sequence: Number of the next piece, which is also how many went out.
    """

    def __init__(self, send: Callable[[Message], Awaitable[None]], form: StreamFormat[T]) -> None:
        self._send = send
        self._form = form
        self.sequence = 0
        self.closed = False

    async def write(self, piece: T) -> None:
        """Send a piece.

        Raises:
            RuntimeError: The stream has ended.
            PayloadTooLargeError: The piece does not fit a message; it got no number.
        """
        if self.closed:
            raise RuntimeError("the stream has ended")
        await self._send(self._form.chunk(self.sequence, piece))
        self.sequence += 1

    async def close(self, error: FleetError | None = None) -> None:
        """End the stream, once."""
        if self.closed:
            return
        self.closed = True
        await self._send(self._form.end(self.sequence) if error is None else self._form.error(self.sequence, error))
