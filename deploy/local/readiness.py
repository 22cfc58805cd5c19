"""Whether a server does its work: each asked in its own protocol, on `HOST`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import grpc.aio  # type: ignore[import-untyped]  # grpcio ships no types

from deploy.local.ports import HOST

__all__ = ["accepts_connections", "http_ready", "milvus_ready", "nats_ready", "redis_ready"]

_LOOK_SECONDS: Final = 2.0
_LIST_COLLECTIONS: Final = "/milvus.proto.milvus.MilvusService/ShowCollections"


@contextlib.asynccontextmanager
async def _connected(port: int, host: str = HOST) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def nats_ready(port: int) -> bool:
    """Tell whether a nats-server introduces itself, with JetStream on."""
    async with _connected(port) as (reader, _):
        verb, _, body = (await reader.readline()).partition(b" ")
        return verb == b"INFO" and bool(json.loads(body).get("jetstream"))


async def redis_ready(port: int) -> bool:
    """Tell whether a Redis answers PING, which it does not while it still reads its file."""
    async with _connected(port) as (reader, writer):
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")


async def http_ready(port: int, path: str) -> bool:
    """Tell whether a GET is answered with 200."""
    async with _connected(port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split(b" ")
        return len(status) > 1 and status[1] == str(HTTPStatus.OK.value).encode()


async def milvus_ready(port: int) -> bool:
    """Tell whether a Milvus lists its collections.

    The call is made by hand, with an empty request: importing pymilvus takes longer than everything else here.
    """
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        # A channel waits longer and longer between attempts to connect; a plain connection tells at once.
        async with _connected(port):
            pass
        try:
            await channel.unary_unary(_LIST_COLLECTIONS)(b"", timeout=_LOOK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return True


async def accepts_connections(address: str) -> bool:
    """Tell whether somebody listens at ``host:port`` or at a URL that names both."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        port = parts.port or {"https": 443, "http": 80, "nats": 4222, "tls": 4222, "redis": 6379}.get(parts.scheme)
        if not parts.hostname or port is None:
            return False
        async with asyncio.timeout(_LOOK_SECONDS), _connected(port, parts.hostname):
            return True
    except (OSError, ValueError, TimeoutError):
        return False
