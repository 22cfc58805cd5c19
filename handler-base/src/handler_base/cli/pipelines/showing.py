"""How a run is shown: a bar on a terminal, a line for each change elsewhere, or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.pipelines.following import FINAL, parts_of
from handler_base.cli.terminal import clean_line, print_json_line, print_text
from handler_base.messages import PipelineStatus

__all__ = ["Display", "display", "exit_code", "line_of", "moment", "took"]


_BETWEEN_LINES: Final = 2.0
"""Seconds between two lines of progress."""

Display = Callable[[PipelineStatus], None]
"""Shows what is new of a run."""


def exit_code(status: PipelineStatus) -> ExitCode:
    """Return what the command ends with after a last status."""
    return ExitCode.FLEET_ERROR if status.status in {"failed", "error"} else ExitCode.OK


@contextmanager
def display(*, as_json: bool) -> Iterator[Display]:
    """Yield what shows a run, for as long as it is followed."""
    if as_json:
        yield lambda status: print_json_line(msgspec.to_builtins(status))
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def line_of(status: PipelineStatus) -> str:
    """Return a status as a line."""
    told = status.error or status.message
    made = [f"{one.name}: {one.uri}" for one in status.artifacts] if status.status in FINAL else []
    available = f"There are: {', '.join(status.available_pipelines)}." if status.available_pipelines else ""
    parts = (status.pipeline, status.status, status.progress, took(status), told, available, *made)
    return "  ".join(clean_line(part) for part in parts if part)


def took(status: PipelineStatus) -> str:
    """Return how long a run that has ended took; empty where that is not known."""
    begun, ended = moment(status.submitted_at), moment(status.finished_at)
    if begun is None or ended is None or ended < begun:
        return ""
    seconds = (ended - begun).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))


def moment(text: str) -> datetime | None:
    """Return a time of a message; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _lines() -> Display:
    """Return what prints each status, and of the progress between two as much as a log can bear."""
    last = ""
    due = 0.0

    def show(status: PipelineStatus) -> None:
        nonlocal last, due
        now = time.monotonic()
        if status.status == last and now < due:
            return
        last, due = status.status, now + _BETWEEN_LINES
        print_text(line_of(status))

    return show


@contextmanager
def _bar() -> Iterator[Display]:
    from rich.console import Console  # noqa: PLC0415 - JSON and lines need none of it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[parts]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    # The bar goes to the error stream, so that how it ended alone can be redirected.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, parts="", told="")

        def show(status: PipelineStatus) -> None:
            done, total = parts_of(status.progress)
            bar.update(
                task,
                description=clean_line(f"{status.pipeline} {status.status}", 48),
                completed=done,
                total=total,
                parts=clean_line(status.progress, 24),
                told=clean_line(status.message, 60),
            )
            if status.status in FINAL:
                bar.stop()
                print_text(line_of(status))

        yield show
