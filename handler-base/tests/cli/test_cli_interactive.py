"""`fleet chat` without a question."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import termios
from pathlib import Path

from handler_base.errors import UpstreamError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.probe import StartService, echo

from .conftest import Fleet


async def test_lines_belong_to_one_session_until_a_new_one(fleet: Fleet, start: StartService) -> None:
    running = await start(echo)
    run = await fleet("chat", stdin="one\n\ntwo\n/new\nthree\n/quit\nfour\n")
    assert run.code == 0, run.err
    asked = [(request.message, request.session_id) for request, _ in running.handler.calls]
    assert [message for message, _ in asked] == ["one", "two", "three"]
    assert asked[0][1] == asked[1][1] != asked[2][1]
    assert "New conversation: session cli-" in run.out


async def test_a_session_may_be_named(fleet: Fleet, start: StartService) -> None:
    running = await start(echo)
    await fleet("chat", "--session", "ann-1", stdin="one")
    assert running.handler.calls[0][0].session_id == "ann-1"


async def test_help_and_unknown_commands(fleet: Fleet, start: StartService) -> None:
    running = await start(echo)
    run = await fleet("chat", stdin="/help\n/nonsense\n")
    assert "/new" in run.out
    assert run.err == "fleet: /nonsense is no command; /help lists them.\n"
    assert not running.handler.calls


async def test_an_error_does_not_end_the_conversation(fleet: Fleet, start: StartService) -> None:
    async def refuse(request: ChatRequest, context: Context) -> ChatResponse:
        if request.message == "bad":
            raise UpstreamError
        return await echo(request, context)

    await start(refuse)
    run = await fleet("chat", stdin="bad\ngood\n")
    assert run.code == 0
    assert run.err == "fleet: A model server answered with an error. (upstream_error)\n"
    assert "good" in run.out


async def test_nobody_listens(fleet: Fleet) -> None:
    run = await fleet("chat", stdin="one\n")
    assert run.code == 4


async def test_a_terminal_gets_a_prompt(own_nats: NatsServer, start: StartService, folder: Path) -> None:
    running = await start(echo)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "handler_base.cli", "--nats-url", own_nats.url, "chat"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        await _shown(ours, "you>")
        os.write(ours, b"hello there\r")
        await _shown(ours, "you>")
        os.write(ours, b"half a line\x03")
        await _shown(ours, "you>")
        os.write(ours, b"\x04")
        await asyncio.wait_for(_drained(process, ours), 10)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)
    assert process.returncode == 0
    assert [request.message for request, _ in running.handler.calls] == ["hello there"]


async def _shown(terminal: int, text: str) -> None:
    """Read what the terminal shows until a text comes."""
    seen = ""
    async with asyncio.timeout(10):
        while text not in seen:
            seen += (await asyncio.to_thread(os.read, terminal, 4096)).decode(errors="replace")


async def _drained(process: asyncio.subprocess.Process, terminal: int) -> None:
    """Wait for the end, reading on: a terminal that nobody reads holds the process up."""
    while process.returncode is None:
        try:
            if not await asyncio.to_thread(os.read, terminal, 4096):
                break
        except OSError:
            break
    await process.wait()
