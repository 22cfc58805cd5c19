"""The `fleet` command: ask, ingest, look at the fleet, and repair what it gave up."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments, and exit with its code."""
    try:
        from handler_base.cli.app import run  # noqa: PLC0415 - what is missing is said in a line
    except ModuleNotFoundError as error:
        sys.exit(f"fleet: the package {error.name} is missing; install it with: pip install 'handler-base[cli]'")
    run()
