"""The table and the plot of a run."""

from __future__ import annotations

import datetime as dt
import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from deploy.bench.result import Bar, Result

__all__ = ["RESULTS", "draw", "markdown", "summary"]

RESULTS: Final = Path(__file__).parent / "results"
"""Where a run leaves its table and plot."""

_PLOT_LIMIT: Final = 2.0


def markdown(results: Sequence[Result], *, quick: bool) -> str:
    """Return the whole report as Markdown."""
    machine = f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} CPUs"
    day = dt.datetime.now(tz=dt.UTC).date().isoformat()
    lines = [
        "# Benchmark",
        "",
        f"{day}, {machine}, Python {platform.python_version()}"
        + (", quick run: fewer and shorter rounds" if quick else ""),
        "",
        "Medians of interleaved rounds, with their range in brackets. How they are made: `deploy/bench/README.md`.",
        "",
        *_bar_table(results),
    ]
    for result in results:
        lines += ["", f"## {result.title}", "", *_row_table(result)]
        lines += [f"\n{note}" for note in result.notes]
        lines += [f"\n**{number} x {reason}**" for reason, number in result.failures.items()]
    return "\n".join(lines) + "\n"


def _bar_table(results: Sequence[Result]) -> list[str]:
    lines = ["| bar | measured | limit | |", "|---|---|---|---|"]
    for result in results:
        for bar in result.bars:
            sign = "≤" if bar.better == "lower" else "≥"
            verdict = "pass" if bar.passed else "**FAIL**"
            measured = f"{bar.value.text(_digits(bar))} {bar.unit}"
            lines.append(f"| {bar.text} | {measured} | {sign} {bar.limit:,g} {bar.unit} | {verdict} |")
        if result.unmeasured:
            lines.append(f"| {result.name} | {result.unmeasured} | | not measured |")
        if result.failures:
            lines.append(
                f"| {result.name}: every answer right | {sum(result.failures.values())} wrong | 0 | **FAIL** |"
            )
    return lines


def _digits(bar: Bar) -> int:
    return 0 if bar.limit >= 1000 else 1 if bar.limit >= 20 else 2


def _row_table(result: Result) -> list[str]:
    columns = list(dict.fromkeys(column for row in result.rows for column in row.figures))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row in result.rows:
        figures = " | ".join(row.figures.get(column, "") for column in columns)
        lines.append(f"| {row.who} | {figures} |")
    return lines


def summary(result: Result) -> str:
    """Return one scenario as plain text for the terminal."""
    lines = [f"\n{result.title}"]
    for row in result.rows:
        figures = ", ".join(f"{column} {figure}" for column, figure in row.figures.items())
        lines.append(f"  {row.who:24} {figures}")
    for bar in result.bars:
        verdict = "pass" if bar.passed else "FAIL"
        sign = "<=" if bar.better == "lower" else ">="
        lines.append(f"  {verdict}  {bar.text}: {bar.value.text(_digits(bar))} {sign} {bar.limit:,g} {bar.unit}")
    lines += [f"  FAIL  {number} x {reason}" for reason, number in result.failures.items()]
    if result.unmeasured:
        lines.append(f"  ----  not measured. {result.unmeasured}")
    lines += [f"  note  {note}" for note in result.notes]
    return "\n".join(lines)


def draw(results: Sequence[Result], path: Path) -> bool:
    """Draw every bar in parts of its limit; False where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the plot is the only thing that needs it
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    bars = [bar for result in results for bar in result.bars if math.isfinite(bar.score.high)]
    if not bars:
        return False
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(bars) + 1.4))
    scores = [bar.score for bar in bars]
    medians = [score.median for score in scores]
    errors = [[s.median - s.low for s in scores], [s.high - s.median for s in scores]]
    colours = ["#2a7f62" if bar.passed else "#b3402e" for bar in bars]
    axes.barh(range(len(bars)), medians, xerr=errors, color=colours, ecolor="#444444", capsize=3, height=0.62)
    axes.axvline(1.0, color="#222222", linewidth=1.2)
    axes.set_yticks(range(len(bars)), [bar.text for bar in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, max(_PLOT_LIMIT / 1.6, *(1.08 * score.high for score in scores)))
    axes.set_xlabel("in parts of the bar, with the range over rounds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)
    plt.close(figure)
    return True
