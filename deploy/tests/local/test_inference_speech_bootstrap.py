"""Where flite comes from: the bootstrap goes on without it, and says so in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[2] / "local"


def _install(venv: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run the step of the bootstrap on another environment than the checkout's."""
    (venv / "bin").mkdir(parents=True)
    code = (
        "import pathlib, sys, bootstrap; bootstrap.VENV = pathlib.Path(sys.argv[1]);"
        "bootstrap.LOG = bootstrap.VENV / 'log'; bootstrap.install_flite()"
    )
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(BOOTSTRAP)}
    return subprocess.run(
        [sys.executable, "-c", code, str(venv)], env=environment, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("script", ["", "#!/bin/sh\nexit 100\n"], ids=["no apt", "apt without packages"])
def test_without_flite_the_line_says_what_speaks_and_what_to_do(tmp_path: Path, script: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb") if script else ():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    done = _install(tmp_path / "venv", str(programs))

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert "espeak-ng speaks" in done.stdout
    assert ("apt-get install flite" in done.stdout) == bool(script)
    assert not (tmp_path / "venv" / "bin" / "flite").exists()


def test_a_flite_of_the_system_is_enough(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "flite").write_text("#!/bin/sh\n")
    (programs / "flite").chmod(0o755)

    assert _install(tmp_path / "venv", str(programs)).stdout == ""
