"""A command line in a thread, in a folder of its own, against a nats-server of the test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner

from handler_base.cli.app import app
from handler_base.config import ArchiveSettings, RagSettings, SessionSettings
from handler_base.nats_client import ConnectionOptions, NatsConnection
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import StartService, starter

SETTINGS = {name.upper() for kind in (RagSettings, SessionSettings, ArchiveSettings) for name in kind.model_fields}


@dataclass(frozen=True)
class Run:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the command printed
        return json.loads(self.out)


class Fleet(Protocol):
    """Runs a command."""

    def __call__(self, *arguments: str, stdin: str = "") -> Awaitable[Run]: ...


class Spawn(Protocol):
    """Starts a command as a process, for what needs signals."""

    def __call__(self, *arguments: str) -> Awaitable[asyncio.subprocess.Process]: ...


@pytest.fixture
async def own_nats() -> AsyncIterator[NatsServer]:
    """A server of this test alone, so that streams and services are new."""
    server = NatsServer()
    await server.start_async()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and an environment without settings."""
    for name in SETTINGS & os.environ.keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def offline(folder: Path) -> Fleet:
    """The command, without a server named."""

    async def run(*arguments: str, stdin: str = "") -> Run:
        runner = CliRunner()
        result = await asyncio.to_thread(runner.invoke, app, list(arguments), input=stdin, prog_name="fleet")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def fleet(offline: Fleet, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The command, with the test's server in the environment."""
    monkeypatch.setenv("NATS_URL", own_nats.url)
    return offline


@pytest.fixture
async def spawn(fleet: Fleet, folder: Path) -> AsyncIterator[Spawn]:
    """The command as a process of its own; what still runs at the end is killed."""
    processes: list[asyncio.subprocess.Process] = []

    async def start_one(*arguments: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "handler_base.cli",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
        )
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def start(own_nats: NatsServer) -> AsyncIterator[StartService]:
    """Starts services at the test's server."""
    async with starter(own_nats.url) as start_one:
        yield start_one


@pytest.fixture
async def client(own_nats: NatsServer) -> AsyncIterator[NatsConnection]:
    """A plain connection to the test's server."""
    connection = NatsConnection(ConnectionOptions(servers=(own_nats.url,)))
    await connection.connect()
    yield connection
    await connection.close()
