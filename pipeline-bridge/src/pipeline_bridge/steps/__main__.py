"""``python -m pipeline_bridge.steps MODULE``: runs one step, a module with ``async def run(step: Step) -> None``.

Its assignment comes as the first line of standard input; or, where nothing watches over it, as in a container of a
workflow, in ``PIPELINE_ASSIGNMENT``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnsupportedFormatError,
    to_fleet_error,
)
from pipeline_bridge.steps.lines import MOST_LINE_BYTES, Assignment
from pipeline_bridge.steps.step import Step

__all__ = ["main"]

log = logging.getLogger(__name__)

_FINAL: Final = (InvalidRequestError, NotFoundError, PermissionDeniedError, UnsupportedFormatError)
_FAILED: Final = 1
_USAGE: Final = 2
"""What fails again however often it is tried; the templates of Argo do not try it again."""

_ABANDONED: Final = 3


def main(arguments: list[str]) -> int:
    """Run a step; returns its exit status."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return _USAGE
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), stream=sys.stderr, format="%(message)s")
    output = _reports()
    try:
        assignment = msgspec.json.decode(_assignment(), type=Assignment)
    except msgspec.MsgspecError as error:
        sys.stderr.write(f"the assignment is not valid: {error}\n")
        return _USAGE
    progress = os.environ.get("ARGO_PROGRESS_FILE")
    step = Step(assignment, output, Path(progress) if progress else None)
    run: Callable[[Step], Awaitable[None]] = importlib.import_module(arguments[0]).run
    try:
        asyncio.run(_run(run, step))
    except Exception as error:
        # Whatever it was: the bridge hears that the step failed, and the log has the rest.
        if not isinstance(error, FleetError):
            log.exception("the step failed")
        failure = to_fleet_error(error)
        step.failed(failure.message)
        return _USAGE if isinstance(failure, _FINAL) else _FAILED
    return 0


async def _run(run: Callable[[Step], Awaitable[None]], step: Step) -> None:
    await run(step)


def _reports() -> BinaryIO:
    """Return where reports go, and keep everybody else's prints away from there."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return output


def _assignment() -> bytes:
    given = os.environ.get("PIPELINE_ASSIGNMENT")
    if given:
        return given.encode()
    line = sys.stdin.buffer.readline(MOST_LINE_BYTES)
    threading.Thread(target=_end_with_the_bridge, daemon=True).start()
    return line


def _end_with_the_bridge() -> None:
    """Wait for the end of standard input, which comes when whoever started the step is gone."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(_ABANDONED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
