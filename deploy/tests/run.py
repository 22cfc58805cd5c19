"""``python -m deploy.tests.run``: the whole suite, in two processes side by side, with one report of what it covers.

Half of the time of these tests is waiting: for servers to start, for pauses to end. Two processes wait at the same
time. They share nothing: each starts its own servers on free ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parents[2]

_PARTS: Final = {
    "services": (
        # The library's first: they count on metrics that no service has used yet.
        *("handler-base/tests/clients", "handler-base/tests/cli"),
        *(
            "chat-handler/tests",
            "voice-assistant/tests",
            "tts-module/tests",
            "stt-module/tests",
            "pipeline-bridge/tests",
        ),
        "deploy/tests",
    ),
    "library": ("handler-base/tests",),
}
_NOT_HERE: Final = {"library": ("--ignore=handler-base/tests/clients", "--ignore=handler-base/tests/cli")}
"""What the other part runs, so that both take about as long."""

_NOTHING_COLLECTED: Final = 5


def main(arguments: list[str]) -> int:
    """Run everything; more arguments go to both runs of pytest.

    Returns:
        0 when every test passed and enough is covered.
    """
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        beside = _start("services", arguments, Path(folder) / "output")
        codes = [_start("library", arguments, None).wait(), beside.wait()]
        print((Path(folder) / "output").read_text("utf-8", "replace"), flush=True)
    failed = [code for code in codes if code not in {0, _NOTHING_COLLECTED}]
    return max(failed) if failed else _report()


def _start(part: str, arguments: list[str], output: Path | None) -> subprocess.Popen[bytes]:
    """Start the tests of a part; those of which the output is kept are shown when all are done."""
    command = [sys.executable, "-m", "pytest", "-m", "not faults", "--cov", "--cov-report=", "--cov-fail-under=0"]
    return subprocess.Popen(
        [*command, *_PARTS[part], *_NOT_HERE.get(part, ()), "-o", f"cache_dir=.pytest_cache/{part}", *arguments],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_FILE": f".coverage.{part}"},
        stdout=output.open("wb") if output is not None else None,
        stderr=subprocess.STDOUT if output is not None else None,
    )


def _report() -> int:
    """Show what both together cover; the least that is enough is in the settings."""
    coverage = [sys.executable, "-m", "coverage"]
    files = [f".coverage.{part}" for part in _PARTS]
    combined = subprocess.run([*coverage, "combine", "-q", *files], cwd=ROOT, check=False)
    return (
        combined.returncode or subprocess.run([*coverage, "report", "--skip-covered"], cwd=ROOT, check=False).returncode
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
