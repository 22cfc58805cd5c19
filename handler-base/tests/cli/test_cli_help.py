"""The help texts, and how fast they come."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from handler_base.cli.exit_codes import ExitCode

from .conftest import Fleet

COMMANDS = [
    *(
        "chat",
        "say",
        "voice",
        "ingest",
        "pipelines",
        "trigger",
        "runs",
        "status",
        "streams",
        "publish",
        "events",
        "history",
        "usage",
        "prefs",
        "forget",
    ),
    *("dlq", "dlq list", "dlq show", "dlq replay"),
]
HEAVY = {
    "nats",
    "pydantic",
    "pymilvus",
    "aiohttp",
    "google.protobuf",
    "handler_base.messages",
    "prompt_toolkit",
    "av",
    "miniaudio",
    "sqlalchemy",
}


async def test_the_help_lists_commands_and_exit_codes(offline: Fleet) -> None:
    run = await offline("--help")
    assert run.code == 0
    for command in {name.split()[0] for name in COMMANDS} | {"version"}:
        assert re.search(rf"\b{command}\b", run.out)
    for code in ExitCode:
        assert re.search(rf"^ +{code.value}  \w", run.out, re.MULTILINE)
    assert "NATS_URL" in run.out


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_has_examples_in_lines_of_their_own(offline: Fleet, command: str) -> None:
    run = await offline(*command.split(), "--help")
    assert run.code == 0
    assert "Examples" in run.out
    examples = [line.strip() for line in run.out.splitlines() if f"fleet {command}" in line and "Usage" not in line]
    assert examples


async def test_nothing_heavy_is_loaded_for_the_help() -> None:
    code = "import sys; from handler_base.cli.app import app; print(' '.join(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert not HEAVY & set(out.decode().split())


async def test_a_wrong_command_line_is_usage(offline: Fleet) -> None:
    assert (await offline("chat", "--top-k", "0", "x")).code == 2
    assert (await offline("nonsense")).code == 2
    assert (await offline("ingest", "not-there")).code == 2


async def test_version(offline: Fleet) -> None:
    run = await offline("version")
    assert re.fullmatch(r"fleet \d+\.\d+\.\d+ \(Python 3\.\d+\.\d+\)\n", run.out)


async def test_a_missing_extra_is_said_in_a_line() -> None:
    code = "import sys; sys.modules['typer'] = None; from handler_base.cli import main; main()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert err == b"fleet: the package typer is missing; install it with: pip install 'handler-base[cli]'\n"


async def test_the_module_runs_as_the_command() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "handler_base.cli", "version"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert out.startswith(b"fleet ")
