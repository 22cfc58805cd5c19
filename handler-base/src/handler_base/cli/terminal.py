"""Printing: what comes from the network or a file is shown without its control characters."""

from __future__ import annotations

import json
import re
import shutil
import sys
from functools import cache
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from handler_base.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "clean",
    "clean_line",
    "fail",
    "fit",
    "make_table",
    "print_json",
    "print_json_line",
    "print_table",
    "print_text",
    "warn",
]

# C0 but tab and line feed, DEL, C1, and the marks that reorder or hide what surrounds them.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LINE_CONTROLS: Final = re.compile(r"[\t\n\u2028\u2029]+")


def clean(text: str) -> str:
    """Return text that cannot move the cursor, colour the screen or hide what stands beside it."""
    return _CONTROLS.sub("", text)


def clean_line(text: str, most: int = 0) -> str:
    """Return `clean` text in one line, cut to `most` characters (0: not cut)."""
    line = _LINE_CONTROLS.sub(" ", clean(text)).strip()
    return f"{line[: most - 1]}…" if most and len(line) > most else line


def fit(line: str) -> str:
    """Return `clean_line` text cut to the columns of the terminal; as it is where the output is none."""
    if not sys.stdout.isatty():
        return line
    from rich.text import Text  # noqa: PLC0415 - keeps the start fast

    text = Text(line)
    text.truncate(shutil.get_terminal_size().columns, overflow="ellipsis")
    return text.plain


@cache
def _width() -> int | None:
    # Tables that a program reads should not be folded to the 80 columns rich assumes without a terminal.
    return None if sys.stdout.isatty() else 200


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - keeps the start fast

    return Console(highlight=False, markup=False, soft_wrap=False, width=_width())


def print_text(text: str, *, end: str = "\n") -> None:
    """Print text for people at once, cleaned."""
    print(clean(text), end=end, flush=True)  # noqa: T201 - this is what prints


def print_json(value: object) -> None:
    """Print one JSON document; control characters are escaped, so it is safe on a terminal too."""
    _print_escaped(json.dumps(value, ensure_ascii=False, default=str, indent=2 if sys.stdout.isatty() else None))


def print_json_line(value: object) -> None:
    """Print one of many JSON documents in a line of its own, on a terminal too."""
    _print_escaped(json.dumps(value, ensure_ascii=False, default=str))


def _print_escaped(text: str) -> None:
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)  # noqa: T201 - this is what prints


def make_table(title: str, *columns: str) -> Table:
    """Return an empty table; a column whose name ends with ``#`` is aligned to the right."""
    from rich.table import Table  # noqa: PLC0415 - keeps the start fast

    table = Table(title=title or None, title_justify="left", header_style="bold", expand=False)
    for column in columns:
        table.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table whose cells are `clean_line` text."""
    _console().print(table)


def warn(message: str) -> None:
    """Tell something on the error stream, in one line."""
    print(f"fleet: {clean_line(message)}", file=sys.stderr, flush=True)  # noqa: T201 - this is what prints


def fail(message: str, code: ExitCode) -> NoReturn:
    """Say what went wrong and what to do, and leave.

    Raises:
        typer.Exit: Always.
    """
    warn(message)
    raise typer.Exit(int(code))
