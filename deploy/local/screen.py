"""What the user sees: one plain line a step, and a table at the end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["complain", "say", "show_table", "without_password"]

_COLUMNS: Final = ("What", "Where", "For")


def say(line: str) -> None:
    """Print a line at once; a reader that went away is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


def complain(line: str) -> None:
    """Print a line on the error stream."""
    with contextlib.suppress(BrokenPipeError):
        print(f"error: {line}", file=sys.stderr, flush=True)


def show_table(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print what runs where: a table on a terminal, aligned lines otherwise."""
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - lines need none of it
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(*_COLUMNS)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        with contextlib.suppress(BrokenPipeError):
            Console().print(table)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, where, purpose in rows:
        say(f"{name:<{widths[0]}}  {where:<{widths[1]}}  {purpose}")


def without_password(address: str) -> str:
    """Return an address, or a list of them, without user names and passwords."""
    return ",".join(_bare(url) for url in address.split(","))


def _bare(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
