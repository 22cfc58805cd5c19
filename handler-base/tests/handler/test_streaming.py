from __future__ import annotations

import pytest

from handler_base.errors import FleetError, PayloadTooLargeError, UpstreamError
from handler_base.handler import StreamWriter
from handler_base.messages import ChatStreamChunk, Message


class Pieces:
    def chunk(self, sequence: int, piece: str) -> ChatStreamChunk:
        return ChatStreamChunk(content=piece, sequence=sequence)

    def end(self, sequence: int) -> ChatStreamChunk:
        return ChatStreamChunk(type="done", done=True, sequence=sequence)

    def error(self, sequence: int, error: FleetError) -> ChatStreamChunk:
        return ChatStreamChunk(type="error", done=True, sequence=sequence, error_type=error.type.value)


class Wire:
    def __init__(self) -> None:
        self.sent: list[ChatStreamChunk] = []
        self.most = 10

    async def send(self, message: Message) -> None:
        assert isinstance(message, ChatStreamChunk)
        if len(message.content) > self.most:
            raise PayloadTooLargeError
        self.sent.append(message)


async def test_pieces_are_numbered_without_gaps_and_end_once() -> None:
    wire = Wire()
    stream = StreamWriter(wire.send, Pieces())
    for piece in ("a", "b"):
        await stream.write(piece)
    await stream.close()
    await stream.close()
    assert [(chunk.sequence, chunk.type) for chunk in wire.sent] == [(0, "chunk"), (1, "chunk"), (2, "done")]


async def test_an_error_is_an_end_marker() -> None:
    wire = Wire()
    stream = StreamWriter(wire.send, Pieces())
    await stream.close(UpstreamError())
    assert [(chunk.sequence, chunk.done, chunk.error_type) for chunk in wire.sent] == [(0, True, "upstream_error")]


async def test_a_piece_that_does_not_fit_takes_no_number() -> None:
    wire = Wire()
    stream = StreamWriter(wire.send, Pieces())
    with pytest.raises(PayloadTooLargeError):
        await stream.write("much too long")
    await stream.write("fits")
    assert [chunk.sequence for chunk in wire.sent] == [0]


async def test_nothing_follows_the_end() -> None:
    stream = StreamWriter(Wire().send, Pieces())
    await stream.close()
    with pytest.raises(RuntimeError):
        await stream.write("late")
