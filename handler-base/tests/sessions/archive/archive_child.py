"""Archive workers as processes of their own, one after the other, that a test may kill at any moment.

This process loads everything once. For each line it reads it splits off a process that archives, says its number, and
when it ended, by what signal or with what code: so each begins within milliseconds, as no program that loads first can.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

import uvloop

from handler_base.config import ArchiveSettings
from handler_base.nats_client import NatsConnection, options_from_settings
from handler_base.sessions.archive import Archive
from handler_base.sessions.archive.worker import ArchiveWorker


async def archive_until_told(settings: ArchiveSettings) -> None:
    """Archive until SIGTERM comes, then stop in order."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    connection = NatsConnection(options_from_settings(settings, "archive"))
    await connection.connect()
    archive = Archive(settings.archive_url.get_secret_value())
    worker = ArchiveWorker(connection, archive, settings)
    await worker.start()
    await told.wait()
    await worker.stop(timedelta(seconds=2))
    await connection.close()
    await archive.close()


def main() -> None:
    """Serve the test."""
    settings = ArchiveSettings()
    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            uvloop.run(archive_until_told(settings))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - for the test
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    main()
