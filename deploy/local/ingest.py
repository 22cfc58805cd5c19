"""The sample corpus: ingested when it, the embeddings or the place of the documents changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.local.environment import StackSettings
from deploy.local.supervisor import tethered

__all__ = ["CORPUS", "fingerprint", "ingest_corpus"]

CORPUS: Final = Path("deploy") / "local" / "corpus"
"""In the checkout; `LOCAL_CORPUS` names other documents."""

_DECIDING: Final = (
    "LOCAL_CORPUS",
    "MILVUS_HOST",
    "MILVUS_DATABASE",
    "COLLECTION_NAME",
    "EMBEDDINGS_URL",
    "EMBEDDINGS_MODEL",
    "EMBEDDINGS_PASSAGE_PREFIX",
)
_USAGE: Final = 2
_END_SECONDS: Final = 3.0


def fingerprint(settings: StackSettings) -> str:
    """Digest what decides whether the documents are where they belong.

    Local parts have no address here: another port holds the same data.
    """
    digest = hashlib.sha256()
    for variable in _DECIDING:
        digest.update(f"{variable}={settings.given.get(variable, '')}\n".encode())
    corpus = settings.root / _corpus(settings)
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(corpus).as_posix()} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def ingest_corpus(settings: StackSettings, environment: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Ingest the sample corpus unless that was done before; a failure is told in one line and is not fatal.

    Args:
        settings: Of the stack.
        environment: Points the command at the servers.
        say: Takes one line for the user.

    Returns:
        Whether the documents are there.
    """
    # In the folder of the database: who deletes that has the documents ingested anew.
    stamp = settings.state / "milvus" / "ingested"
    wanted = await asyncio.to_thread(fingerprint, settings)
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        say("the sample documents are ingested already")
        return True
    say(f"ingesting the sample documents of {_corpus(settings)} (once; half a minute or so)")
    begun = time.monotonic()
    code, output, errors = await _run(settings, environment)
    if code != 0:
        reason = errors.removeprefix("error: ") or f"`fleet ingest` ended with exit code {code}"
        hint = " COLLECTION_NAME=another_name make run puts them elsewhere." if code == _USAGE else ""
        say(f"warning: the sample documents are not ingested: {reason}{hint}")
        return False
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted, "utf-8")
    say(f"{output} ({time.monotonic() - begun:.1f} s)")
    return True


def _corpus(settings: StackSettings) -> Path:
    # Relative where it can be: documents are named by it, and the same command by hand has to change nothing.
    return Path(settings.given.get("LOCAL_CORPUS", str(CORPUS)))


async def _run(settings: StackSettings, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run the command; return its exit code and the last lines of what it said and of its errors.

    On a terminal its progress bar is shown, and with it the errors.
    """
    visible = sys.stderr.isatty()
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "handler_base.cli", "ingest", str(_corpus(settings))),
        cwd=settings.root,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if visible else asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        output, errors = await process.communicate()
    finally:
        await _end(process)
    return process.returncode or 0, _last_line(output), _last_line(errors)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Interrupt the command where it still runs: killed, it would leave the terminal without a cursor."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_SECONDS)


def _last_line(text: bytes | None) -> str:
    lines = (text or b"").decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
