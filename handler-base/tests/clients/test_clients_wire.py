"""The HTTP connection against servers that answer byte by byte as a test says, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import uvloop

from handler_base.clients import HttpEndpoints, HttpPool
from handler_base.clients.endpoint import Endpoint, HttpRequest, StreamTimeouts
from handler_base.clients.stream import HttpStream
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError, UpstreamUnavailableError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    return asyncio.run if request.param == "asyncio" else uvloop.run


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def served(serve: Serve, *, api_key: str = "") -> AsyncIterator[HttpEndpoints]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = HttpPool()
    port = server.sockets[0].getsockname()[1]
    yield HttpEndpoints("test", f"http://127.0.0.1:{port}", pool=pool, api_key=api_key)
    await pool.close()
    server.close()


async def post(http: HttpEndpoints, body: bytes = b"{}") -> bytes:
    return await http.post("/path", body, deadline=Deadline.after(timedelta(seconds=5)))


def answering(*answers: bytes, seen: list[bytes] | None = None, close: bool = False) -> Serve:
    """Answer each request on a connection with the next of the answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                request = await read_request(reader)
                if seen is not None:
                    seen.append(request)
                writer.write(answer)
                await writer.drain()
            if not close:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["length", "chunked", "interim", "http 1.0"],
)
def test_an_answer_is_read_in_every_form(run: Callable[..., None], answer: bytes) -> None:
    async def main() -> None:
        async with served(answering(answer)) as http:
            assert await post(http) == b"ok"

    run(main())


def test_an_answer_without_a_length_ends_with_its_connection(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with served(answering(b"HTTP/1.1 200 OK\r\n\r\nok", close=True)) as http:
            assert await post(http) == b"ok"

    run(main())


def test_an_answer_may_come_byte_by_byte(run: Callable[..., None]) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.close()

    async def main() -> None:
        async with served(drip) as http:
            assert await post(http) == b"ok"

    run(main())


def test_a_connection_is_used_again(run: Callable[..., None]) -> None:
    async def main() -> None:
        connections = 0
        inner = answering(OK, OK, OK)

        async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await inner(reader, writer)

        async with served(counting) as http:
            for _ in range(3):
                assert await post(http) == b"ok"
        assert connections == 1

    run(main())


def test_a_server_that_closed_an_idle_connection_costs_nothing(run: Callable[..., None]) -> None:
    async def main() -> None:
        seen: list[bytes] = []
        async with served(answering(OK, seen=seen, close=True)) as http:
            for _ in range(3):
                assert await post(http) == b"ok"
            assert len(seen) == 3

    run(main())


def test_a_server_that_closes_instead_of_answering_is_an_error(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with served(answering(b"", close=True)) as http:
            with pytest.raises(UpstreamUnavailableError):
                await post(http)

    run(main())


def test_bytes_nobody_asked_for_are_not_taken_for_the_next_answer(run: Callable[..., None]) -> None:
    async def main() -> None:
        evil = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        async with served(answering(evil)) as http:
            results = []
            for _ in range(2):
                try:
                    results.append(await post(http))
                except (UpstreamError, UpstreamUnavailableError):
                    results.append(b"refused")
            assert b"evil" not in results

    run(main())


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_an_upstream_error(run: Callable[..., None], answer: bytes) -> None:
    async def main() -> None:
        async with served(answering(answer)) as http:
            with pytest.raises(UpstreamError):
                await post(http)

    run(main())


def test_a_head_that_does_not_end_is_not_kept(run: Callable[..., None]) -> None:
    async def main() -> None:
        sent = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n")
            try:
                while sent < 64 << 20:
                    writer.write(b"X-More: " + b"x" * 65536 + b"\r\n")
                    await writer.drain()
                    sent += 65536
            except ConnectionError:
                writer.close()

        async with served(flood) as http:
            with pytest.raises(UpstreamError):
                await post(http)
        assert sent < 64 << 20

    run(main())


def test_a_header_value_cannot_start_a_line(run: Callable[..., None]) -> None:
    async def main() -> None:
        seen: list[bytes] = []
        async with served(answering(OK, seen=seen), api_key="key\r\nX-Evil: 1") as http:
            await post(http)
        assert b"\r\nX-Evil" not in seen[0]
        assert b"Authorization: Bearer keyX-Evil: 1\r\n" in seen[0]

    run(main())


def test_a_stream_is_woken_by_its_end_while_it_gathers(run: Callable[..., None]) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        async with served(answering(answer)) as http:
            stream = await opened(http.endpoints[0])
            await asyncio.wait_for(stream.finish(), 2)
            assert await asyncio.wait_for(stream.read_after(60), 2) == b"onetwo"
            assert await stream.read() == b""
            stream.close()

    run(main())


def test_a_slow_reader_holds_the_server_back(run: Callable[..., None]) -> None:
    async def main() -> None:
        sent = 0
        piece = b"x" * 65536

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 400))
            for _ in range(400):
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
            writer.close()

        async with served(flood) as http:
            stream = await opened(http.endpoints[0])
            await stream.finish()
            assert sent < 24 * 1024 * 1024, "the rest waits until it is wanted"
            assert len(await stream.read_all()) == len(piece) * 400
            stream.close()

    run(main())


async def opened(endpoint: Endpoint) -> HttpStream:
    stream = await endpoint.open(
        HttpRequest("/path", b"{}"), deadline=Deadline.after(timedelta(seconds=10)), timeouts=StreamTimeouts()
    )
    assert isinstance(stream, HttpStream)
    return stream
