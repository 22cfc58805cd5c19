"""The whole local stack as a user runs it: it comes up, says what is wrong, and goes without a trace."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values

from deploy.local.environment import read_settings
from deploy.local.ingest import fingerprint
from deploy.local.parts import SERVICES
from deploy.tests.stack.conftest import ROOT, StackRunner, health_ports
from handler_base.testing.nats_server import free_port

UP = "Ctrl-C stops everything."
DOCUMENT = "# The boathouse\n\nThe boathouse was painted green in 1987 by the brothers Ashdown.\n"
PORTS = ("NATS_PORT", "MILVUS_PORT", "REDIS_PORT", "INFERENCE_PORT")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "boathouse.md").write_text(DOCUMENT)
    (documents / "weather.md").write_text("# Weather\n\nIt rained on eleven days of March.\n")
    places = {"LOCAL_DIR": str(tmp_path / "state"), "LOCAL_CORPUS": str(documents)}
    return places | {name: str(free_port()) for name in PORTS} | {"HEALTH_PORT_BASE": health_ports()}


async def until_up(process: asyncio.subprocess.Process) -> list[str]:
    """Read the lines up to the last one of the introduction."""
    assert process.stdout is not None
    lines: list[str] = []
    async for line in process.stdout:
        lines.append(line.decode().rstrip("\n"))
        if lines[-1] == UP:
            return lines
    pytest.fail(f"the stack ended: {lines} {(await process.communicate())[1].decode()}")


async def said(process: asyncio.subprocess.Process) -> tuple[int | None, list[str], list[str]]:
    """Wait for the end; return the exit code and the lines of both streams."""
    output, errors = await asyncio.wait_for(process.communicate(), 15)
    return process.returncode, output.decode().splitlines(), errors.decode().splitlines()


async def test_the_stack_comes_up_and_goes(
    run_stack: StackRunner, environment: dict[str, str], running: Callable[[int], bool]
) -> None:
    # Its documents are there from the last time; the voice's tests have a stack that begins with none, and answers.
    ingested = Path(environment["LOCAL_DIR"]) / "milvus" / "ingested"
    ingested.parent.mkdir(parents=True)
    ingested.write_text(fingerprint(read_settings(ROOT, environment)), "utf-8")
    process = await run_stack(environment)
    lines = await until_up(process)
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    told = dotenv_values(Path(environment["LOCAL_DIR"]) / "env")

    process.send_signal(signal.SIGTERM)
    code, rest, errors = await said(process)
    assert told["MILVUS_API"] == "grpc"
    assert "the sample documents are ingested already" in lines
    assert (code, errors) == (0, [])
    order = [line.split()[0] for line in rest if "is stopped" in line]
    services = [name.replace("_", "-") for name in reversed([*SERVICES]) if find_spec(f"{name}.__main__") is not None]
    assert order == [*services, "inference", "redis-server", "milvus-lite", "nats-server"]
    assert len(children) == len(order)
    assert not any(running(pid) for pid in children)


async def test_a_port_in_use_is_one_line_and_nothing_is_started(
    run_stack: StackRunner, environment: dict[str, str]
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(environment["REDIS_PORT"])))
        listener.listen()
        code, lines, errors = await said(await run_stack(environment))

    assert code == 1
    assert lines == []
    assert errors == [
        f"error: port {environment['REDIS_PORT']}, which redis-server needs, is in use. "
        "Set REDIS_PORT to another port, or set REDIS_URL to use a Redis that already runs."
    ]
    assert not (Path(environment["LOCAL_DIR"]) / "logs").exists()


async def test_a_nats_of_ones_own_that_does_not_answer_is_one_line(
    run_stack: StackRunner, environment: dict[str, str]
) -> None:
    environment["NATS_URL"] = f"nats://ann:secret@127.0.0.1:{free_port()}"

    code, _, errors = await said(await run_stack(environment))

    assert code == 1
    assert len(errors) == 1
    assert "secret" not in errors[0]
    assert errors[0].endswith("Start it, or unset NATS_URL to have one started here.")


@pytest.fixture
def occupied(tmp_path: Path) -> Path:
    """A file where the store of NATS belongs."""
    path = tmp_path / "occupied" / "nats"
    path.parent.mkdir()
    path.touch()
    return path


async def test_a_part_that_cannot_start_takes_the_others_with_it(
    run_stack: StackRunner, environment: dict[str, str], occupied: Path
) -> None:
    environment["LOCAL_DIR"] = str(occupied.parent)

    process = await run_stack(environment)
    code, _, errors = await said(process)

    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("error: nats-server ended with exit code 1: ")


async def test_a_second_stack_on_the_same_data_is_refused(run_stack: StackRunner, environment: dict[str, str]) -> None:
    state = Path(environment["LOCAL_DIR"])
    first = await run_stack(environment)
    assert first.stdout is not None
    await asyncio.wait_for(first.stdout.readline(), 15)

    code, _, errors = await said(await run_stack(environment))

    first.send_signal(signal.SIGINT)
    assert (await said(first))[0] == 0
    assert code == 1
    assert errors == [
        f"error: a local stack already runs on {state} (process {first.pid}). "
        "Stop it with Ctrl-C there, or set LOCAL_DIR and the ports for a second one."
    ]


async def test_a_setting_that_is_wrong_is_one_line(run_stack: StackRunner, environment: dict[str, str]) -> None:
    code, _, errors = await said(await run_stack({**environment, "NATS_PORT": "many"}))

    assert (code, errors) == (1, ["error: NATS_PORT=many is not a port; use a number from 1 to 65535."])


async def test_it_goes_on_without_documents_and_without_memory(
    run_stack: StackRunner, environment: dict[str, str]
) -> None:
    unreadable = Path(environment["LOCAL_DIR"]) / "redis" / "appendonly.aof"
    await asyncio.to_thread(unreadable.mkdir, parents=True)
    nowhere = free_port()

    process = await run_stack({**environment, "MILVUS_HOST": "127.0.0.1", "MILVUS_PORT": str(nowhere)})
    lines = await until_up(process)
    process.send_signal(signal.SIGINT)

    assert (await said(process))[0] == 0
    assert f"warning: nothing answers at MILVUS_HOST=127.0.0.1:{nowhere}; going on without it" in lines
    (lost,) = (line for line in lines if line.startswith("warning: redis-server"))
    assert "ended with exit code 1" in lost
    assert lost.endswith("Conversations are not remembered.")
    assert not any("sample documents" in line for line in lines)


@pytest.mark.faults
async def test_a_stack_whose_documents_cannot_be_ingested_goes_on(
    run_stack: StackRunner, environment: dict[str, str]
) -> None:
    nothing = Path(environment["LOCAL_CORPUS"]).with_name("nothing")
    nothing.mkdir()

    process = await run_stack({**environment, "LOCAL_CORPUS": str(nothing)})
    lines = await until_up(process)
    process.send_signal(signal.SIGTERM)

    assert (await said(process))[0] == 0
    (line,) = (line for line in lines if line.startswith("warning: "))
    assert line.startswith("warning: the sample documents are not ingested: ")
    assert not (Path(environment["LOCAL_DIR"]) / "milvus" / "ingested").exists()
