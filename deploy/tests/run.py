"""``python -m deploy.tests.run``: the whole suite, several parts of it side by side, with one report of what it covers.

Half of the time of these tests is waiting: for servers to start, for pauses to end. So one process more runs than there
are cores, each with the next part that nobody has begun. They share nothing: each starts its own servers on free ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parents[2]

_LIBRARY: Final = "handler-base/tests"
_SIDE_BY_SIDE: Final = 3
_NOTHING_COLLECTED: Final = 5


@dataclass(frozen=True, slots=True)
class Part:
    """What one process runs.

    Attributes:
        name: For its files.
        paths: Its tests.
        without: Those below them that are another part's.
    """

    name: str
    paths: tuple[str, ...]
    without: tuple[str, ...] = ()


_PARTS: Final = (
    # The longest first, so that all end at about the same time.
    Part("deploy", ("deploy/tests",), ("deploy/tests/permissions", "deploy/tests/stack", "deploy/tests/pipelines")),
    Part("stt-module", ("stt-module/tests",)),
    Part("library", (_LIBRARY,), tuple(f"{_LIBRARY}/{room}" for room in ("cli", "clients", "sessions", "nats_client"))),
    Part("sessions", (f"{_LIBRARY}/sessions",)),
    Part("stack", ("deploy/tests/permissions", "deploy/tests/stack", "deploy/tests/pipelines")),
    Part("voice-assistant", ("voice-assistant/tests",)),
    Part("pipeline-bridge", ("pipeline-bridge/tests",)),
    Part("nats-client", (f"{_LIBRARY}/nats_client",)),
    Part("commands", (f"{_LIBRARY}/cli", f"{_LIBRARY}/clients")),
    Part("chat-handler", ("chat-handler/tests",)),
    Part("tts-module", ("tts-module/tests",)),
)


def main(arguments: list[str]) -> int:
    """Run everything; more arguments go to every run of pytest.

    Returns:
        0 when every test passed and enough is covered.
    """
    codes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="tests-") as folder, ThreadPoolExecutor(_SIDE_BY_SIDE) as side_by_side:
        runs = {side_by_side.submit(_run, part, arguments, Path(folder) / part.name): part for part in _PARTS}
        for run in as_completed(runs):
            part = runs[run]
            codes[part.name], seconds = run.result()
            print((Path(folder) / part.name).read_text("utf-8", "replace"))
            print(f"== {part.name}: {seconds:.0f} s", flush=True)
    failed = {name: code for name, code in codes.items() if code not in {0, _NOTHING_COLLECTED}}
    if failed:
        print(f"Failed: {', '.join(sorted(failed))}", flush=True)
        return max(failed.values())
    return _report()


def _run(part: Part, arguments: list[str], output: Path) -> tuple[int, float]:
    """Run the tests of a part; return pytest's code, and how long it took in seconds."""
    command = [sys.executable, "-m", "pytest", "-m", "not faults", "--cov", "--cov-report=", "--cov-fail-under=0"]
    without = [f"--ignore={path}" for path in part.without]
    started = time.monotonic()
    with output.open("wb") as file:
        done = subprocess.run(
            [*command, *part.paths, *without, "-o", f"cache_dir=.pytest_cache/{part.name}", *arguments],
            cwd=ROOT,
            env={**os.environ, "COVERAGE_FILE": f".coverage.{part.name}"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode, time.monotonic() - started


def _report() -> int:
    """Show what all of them cover; the least that is enough is in the settings."""
    coverage = [sys.executable, "-m", "coverage"]
    files = [f".coverage.{part.name}" for part in _PARTS]
    combined = subprocess.run([*coverage, "combine", "-q", *files], cwd=ROOT, check=False)
    return (
        combined.returncode or subprocess.run([*coverage, "report", "--skip-covered"], cwd=ROOT, check=False).returncode
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
