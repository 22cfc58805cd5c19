"""Addresses of the store as people write them, and the connections that are made of them."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from handler_base.sessions import SessionStore
from handler_base.sessions.address import StoreAddress
from handler_base.sessions.valkey import LinkDownError, ValkeyLink
from handler_base.testing.redis_server import RedisServer

from .conftest import Serve, peer


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://h", StoreAddress(host="h")),
        ("valkey://h:1/2", StoreAddress(host="h", port=1, database=2)),
        ("redis://:p%40ss@h/0", StoreAddress(host="h", password="p@ss")),
        ("redis://u%3A:p@[::1]:7", StoreAddress(host="::1", port=7, username="u:", password="p")),
        ("rediss://h?db=3", StoreAddress(host="h", database=3, secure=True)),
        ("valkeys://h?ssl_ca_certs=/ca", StoreAddress(host="h", secure=True, authority="/ca")),
        ("rediss://h/?ssl_cert_reqs=none", StoreAddress(host="h", secure=True, verify=False)),
        ("unix:///run/v.sock?db=1", StoreAddress(path="/run/v.sock", database=1)),
        ("unix://:p@/run/v.sock", StoreAddress(path="/run/v.sock", password="p")),
    ],
)
def test_an_address_is_read(url: str, meant: StoreAddress) -> None:
    assert StoreAddress.parse(url) == meant


@pytest.mark.parametrize(
    "url",
    [
        "h:1",
        "http://:plum@h",
        "redis://",
        "redis://:plum@h:x",
        "redis://:plum@h/x",
        "redis://:plum@h?tiemout=1",
        "unix://",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="session store") as refused:
        SessionStore(url, ttl=timedelta(days=1), most_turns=1, timeout=timedelta(seconds=1))
    assert "plum" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    assert "plum" not in repr(StoreAddress.parse("redis://u:plum@h"))


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[ValkeyLink]:
    link = ValkeyLink(url, timeout=timedelta(seconds=2))
    yield link
    await link.close()


async def test_a_database_is_chosen(server: RedisServer, redis: Redis) -> None:
    async with linked(server.url.removesuffix("/0") + "/3") as link:
        await link.call("SET", "k", "third")
        assert await redis.get("k") is None
        await redis.client_kill_filter(_type="normal", skipme=True)
        await redis.set("k", "first")
        async with linked(server.url.removesuffix("/0") + "?db=3") as other:
            assert await other.call("GET", "k") == b"third"


async def test_a_database_there_is_not_is_never_taken_for_another(server: RedisServer, redis: Redis) -> None:
    async with linked(server.url.removesuffix("/0") + "/99") as link:
        with pytest.raises(LinkDownError, match="ERR"):
            await link.call("SET", "k", "v")
        assert not link.available
    assert await redis.dbsize() == 0


async def test_a_user_and_a_password_are_told(server: RedisServer, redis: Redis) -> None:
    await redis.acl_setuser("fleet", enabled=True, passwords=["+p@ss:/w"], keys=["*"], categories=["+@all"])
    at = f"127.0.0.1:{server.port}"
    async with linked(f"redis://fleet:p%40ss%3A%2Fw@{at}/1") as link:
        assert await link.call("ACL", "WHOAMI") == b"fleet"
    async with linked(f"redis://fleet:wrong@{at}") as link:
        with pytest.raises(LinkDownError, match="WRONGPASS"):
            await link.call("PING")
    await redis.config_set("requirepass", "default's")
    async with linked(f"redis://:default's@{at}") as link:
        assert await link.call("ACL", "WHOAMI") == b"default"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    wanted = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = [openssl, *wanted.split(), "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def front(server: RedisServer) -> Serve:
    """Stand in front of the server, as it has neither TLS nor a socket here."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", server.port)
        both = [asyncio.ensure_future(copy(reader, back_writer)), asyncio.ensure_future(copy(back_reader, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back_writer.close()

    return serve


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_tls_trusts_the_authority_it_is_given_and_no_other(
    server: RedisServer, certificate: tuple[Path, Path], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    given = f"?ssl_ca_certs={certificate[0]}"
    refused = [("127.0.0.1", given), ("localhost", ""), ("localhost", "?ssl_ca_certs=/nowhere")]

    async def scenario() -> None:
        async with peer(front(server), tls=context) as port:
            for host, options in (("localhost", given), ("127.0.0.1", "?ssl_cert_reqs=none")):
                async with linked(f"rediss://{host}:{port}/1{options}") as link:
                    assert await link.call("ECHO", "x" * 300_000) == b"x" * 300_000
            for host, options in refused:
                async with linked(f"rediss://{host}:{port}/1{options}") as link:
                    with pytest.raises(LinkDownError, match="unreachable"):
                        await link.call("PING")

    await asyncio.to_thread(run, scenario())


async def test_a_unix_socket_does_as_well(server: RedisServer, tmp_path: Path) -> None:
    path = str(tmp_path / "v.sock")
    async with peer(front(server), path=path), linked(f"unix://{path}?db=2") as link:
        assert await link.call("SET", "k", "v") == b"OK"
