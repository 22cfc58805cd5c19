"""Runs a handler as a process."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from handler_base.config import Settings
from handler_base.handler.handler import Handler
from handler_base.handler.service import Service
from handler_base.telemetry import configure_logging

__all__ = ["run"]

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

_EXIT_SETTINGS: Final = 78
"""EX_CONFIG of sysexits.h."""


def run(handler: Callable[[S], Handler[S]], settings: type[S]) -> None:
    """Run a service until SIGTERM or SIGINT, then stop it without loss.

    Exits with 0 after a clean stop and with 78 when the settings are not valid.

    Args:
        handler: The service's handler class, or what makes its handler from the settings.
        settings: Its settings class.
    """
    try:
        values = settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        sys.exit(_EXIT_SETTINGS)
    made = handler(values)
    configure_logging(values, made.name)
    _run(_serve(Service(made)))


async def _serve(service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = loop.create_task(service.start())
    stopping = loop.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting  # a start that failed ends the process with its reason
        _settle_memory()
        await stopping
    else:
        starting.cancel()
        await asyncio.wait({starting})
    await service.stop()


def _settle_memory() -> None:
    """Leave what was made for good out of garbage collection, which costs a tenth of a request otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run the event loop, uvloop's where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
