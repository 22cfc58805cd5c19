"""Children are started again when they crash, stopped in reverse, and never left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.supervisor import Backoff
from deploy.tests.stack.conftest import ROOT, Stage
from handler_base.errors import UpstreamUnavailableError
from handler_base.testing.waiting import wait_until

READY = "import os,pathlib,signal,sys,time; pathlib.Path(os.environ['READY']).touch(); "
RUNS = READY + "signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + RUNS
WITH_CHILD = (
    "import subprocess,sys,os,pathlib; c=subprocess.Popen(['sleep','600']); "
    "pathlib.Path(os.environ['FOLDER'],'grandchild').write_text(str(c.pid)); " + RUNS
)


async def test_a_crashed_child_is_started_again(stage: Stage) -> None:
    child = await stage.start("redis", RUNS)
    first = child.pid

    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: "redis is back" in stage.said)

    assert child.pid not in {0, first}
    told = stage.said[1]
    assert told == "redis was killed by SIGKILL; starting it again in 0.01 s. Its log: logs/redis.log"


async def test_a_child_that_crashes_again_and_again_waits_longer_each_time(stage: Stage) -> None:
    await stage.start("flaky", READY + "time.sleep(0.02); sys.exit(3)")

    await wait_until(lambda: sum("exit code 3" in line for line in stage.said) >= 4, timeout=10)

    delays = [re.findall(r"again in ([\d.]+) s", line) for line in stage.said]
    assert [delay[0] for delay in delays if delay][:4] == ["0.01", "0.02", "0.04", "0.04"]


def test_the_backoff_has_a_limit() -> None:
    assert [Backoff(0.5, 30).delay(crashes) for crashes in (1, 2, 3, 7, 1000)] == [0.5, 1, 2, 30, 30]


async def test_all_are_stopped_in_reverse_order(stage: Stage) -> None:
    for name in ("first", "second", "third"):
        await stage.start(name, RUNS)

    await stage.supervisor.stop()

    stopped = [line.split()[0] for line in stage.said if "is stopped" in line]
    assert stopped == ["third", "second", "first"]
    assert stage.supervisor.children == ()


async def test_a_stopped_child_is_not_started_again(stage: Stage) -> None:
    child = await stage.start("once", RUNS)

    await stage.supervisor.stop()

    assert child.pid == 0
    assert [line.split(" (")[0] for line in stage.said] == ["once is ready", "once is stopped"]


async def test_a_child_that_does_not_listen_is_killed(stage: Stage, running: Callable[[int], bool]) -> None:
    child = await stage.start("stubborn", STUBBORN, stop_seconds=0.05)
    pid = child.pid

    await stage.supervisor.stop()

    assert not running(pid)


async def test_what_a_child_started_goes_with_it(stage: Stage, running: Callable[[int], bool]) -> None:
    await stage.start("parent", WITH_CHILD)
    grandchild = int((stage.folder / "grandchild").read_text())

    await stage.supervisor.stop()

    await wait_until(lambda: not running(grandchild))


async def test_a_child_that_ends_at_once_is_told_with_its_last_words(stage: Stage) -> None:
    code = "import sys; print('one'); print('error: no weights.', file=sys.stderr); sys.exit(1)"

    with pytest.raises(UpstreamUnavailableError) as caught:
        await stage.start("inference", code)

    assert caught.value.message == (
        "inference ended with exit code 1: error: no weights. All of it is in logs/inference.log."
    )
    assert stage.supervisor.children == ()


async def test_a_child_that_never_gets_ready_is_ended(stage: Stage, running: Callable[[int], bool]) -> None:
    code = "import os,pathlib,signal; pathlib.Path(os.environ['FOLDER'],'pid').write_text(str(os.getpid())); "

    with pytest.raises(UpstreamUnavailableError, match=r"slow was not ready after 0\.5 s"):
        await stage.start("slow", code + "signal.pause()", start_seconds=0.5)

    assert not running(int((stage.folder / "pid").read_text()))


async def test_a_program_that_is_not_there_is_told(stage: Stage) -> None:
    spec = stage.spec("ghost", "")
    ghost = type(spec)(spec.name, ("/nowhere/ghost",), spec.ready)

    with pytest.raises(UpstreamUnavailableError, match=r"ghost ended with exit code 1: FileNotFoundError"):
        await stage.supervisor.start(ghost)


async def test_a_start_that_is_given_up_leaves_nothing(stage: Stage, running: Callable[[int], bool]) -> None:
    code = "import os,pathlib,signal; pathlib.Path(os.environ['FOLDER'],'pid').write_text(str(os.getpid())); "
    starting = asyncio.create_task(stage.start("slow", code + "signal.pause()"))
    written = stage.folder / "pid"
    await wait_until(lambda: written.exists() and written.read_text())

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not running(int(written.read_text()))


async def test_the_log_of_the_run_before_is_kept(stage: Stage) -> None:
    await stage.start("chatty", "print('first run', flush=True); " + RUNS)
    await stage.supervisor.stop()

    await stage.start("chatty", "print('second run', flush=True); " + RUNS)

    logs = stage.folder / "logs"
    assert (logs / "chatty.log").read_text() == "second run\n"
    assert (logs / "chatty.previous.log").read_text() == "first run\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's service is Linux's")
async def test_no_orphans_when_the_parent_is_killed(tmp_path: Path, running: Callable[[int], bool]) -> None:
    code = (
        "import asyncio, pathlib, sys\n"
        "from deploy.local.supervisor import ChildSpec, Supervisor\n"
        "async def ready(): return True\n"
        "async def main():\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    children = Supervisor(folder, folder, lambda line: None)\n"
        "    for name in 'ab':\n"
        "        child = await children.start(ChildSpec(name, ('/bin/sleep', '600'), ready))\n"
        "        print(child.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(await asyncio.wait_for(parent.stdout.readline(), 10)) for _ in range(2)]
    assert all(running(pid) for pid in pids)

    parent.kill()
    await parent.wait()

    await wait_until(lambda: not any(running(pid) for pid in pids))
