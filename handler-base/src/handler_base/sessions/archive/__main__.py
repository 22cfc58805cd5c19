"""``python -m handler_base.sessions.archive``: brings the archive's tables to what this program knows."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from typing import Final

from handler_base.config import ArchiveSettings
from handler_base.errors import FleetError
from handler_base.sessions.archive.addresses import parse_address
from handler_base.sessions.archive.migrating import migrate

__all__ = ["main"]

_STATEMENT_TIMEOUT: Final = timedelta(seconds=10)


def main(arguments: list[str] | None = None) -> int:
    """Migrate, and say what was done.

    Args:
        arguments: Of the command line; None reads them from there.

    Returns:
        0, or 1 when it could not be done.
    """
    parser = argparse.ArgumentParser(prog="python -m handler_base.sessions.archive", description=__doc__)
    parser.add_argument("address", nargs="?", help="of the database; ARCHIVE_URL where none is given")
    address: str = parser.parse_args(arguments).address or ArchiveSettings().archive_url.get_secret_value()
    try:
        done = asyncio.run(migrate(parse_address(address), statement_timeout=_STATEMENT_TIMEOUT))
    except FleetError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    if done.before == done.after:
        sys.stdout.write(f"The archive is at revision {done.after}: nothing to do.\n")
    else:
        sys.stdout.write(f"The archive went from {done.before or 'nothing'} to revision {done.after}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
