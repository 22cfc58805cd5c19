"""The probe server against clients that are broken, slow or rude."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from handler_base.http import HttpResponse, HttpServer


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def hello() -> HttpResponse:
        return HttpResponse(200, b"hello", {"Content-Type": "text/plain"})

    async def never() -> HttpResponse:
        await asyncio.Event().wait()
        return HttpResponse(200)

    server = HttpServer({"/hello": hello, "/never": never})
    await server.start("127.0.0.1", 0)
    yield server.port
    await server.stop()
    await server.stop()


async def talk(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_a_path_is_answered(port: int) -> None:
    answer = await talk(port, b"GET /hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"Content-Length: 5\r\nConnection: close\r\n\r\nhello")


async def test_a_request_may_come_byte_by_byte(port: int) -> None:
    request = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (await talk(port, *(bytes([byte]) for byte in request))).endswith(b"hello")


async def test_head_has_the_length_and_no_body(port: int) -> None:
    answer = await talk(port, b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /hello HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
    ],
    ids=["path", "method", "nonsense", "too long"],
)
async def test_what_is_wrong_is_told(port: int, request_bytes: bytes, status: bytes) -> None:
    assert (await talk(port, request_bytes)).split(b" ")[1] == status


async def test_stopping_ends_an_answer_under_way() -> None:
    began = asyncio.Event()

    async def never() -> HttpResponse:
        began.set()
        await asyncio.Event().wait()
        return HttpResponse(200)

    server = HttpServer({"/never": never})
    await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    await began.wait()
    await asyncio.wait_for(server.stop(), 5)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
