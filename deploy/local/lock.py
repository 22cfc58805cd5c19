"""Resolves the dependencies into the lock files: ``make lock``.

The files hold versions and hashes and no address, so that they say the same whichever mirror is used.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = ("handler-base", "chat-handler", "voice-assistant", "stt-module", "tts-module", "pipeline-bridge")
LOCKS = {
    "requirements.lock": ("dev", "local"),
    "requirements-bench.lock": ("dev", "local", "bench"),
    "requirements-kfp.lock": ("kfp",),
    "requirements-policy.lock": ("policy",),
}
ALONE = {"requirements-kfp.lock", "requirements-policy.lock"}
"""Locks of environments that do not have the fleet itself."""


def main() -> int:
    """Write every lock file; return the first exit code that is not 0."""
    for name, groups in LOCKS.items():
        command = [
            str(Path(sys.executable).with_name("uv")),
            *("pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes", "--no-annotate"),
            *("--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"),
            *(part for member in MEMBERS for part in ("--no-emit-package", member)),
            *("--custom-compile-command", "make lock"),
            *(part for group in groups for part in ("--group", group)),
            *("--output-file", name),
            *(() if name in ALONE else ("pyproject.toml",)),
        ]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
