"""``python -m deploy.bench``: runs the scenarios, writes the report, and fails where a bar does not hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from deploy.bench import answering, consuming, conversing, keeping, listening, pipelines, serving
from deploy.bench.environment import Environment
from deploy.bench.process import StartError
from deploy.bench.report import RESULTS, draw, markdown, summary
from deploy.bench.result import Result

__all__ = ["SCENARIOS", "main"]

SCENARIOS: Final[dict[str, Callable[[Environment], Awaitable[Result]]]] = {
    "rag": answering.rag,
    "stream": answering.stream,
    "burst": answering.burst,
    "kept": keeping.kept,
    "echo": answering.echo,
    "pull": consuming.pull,
    "overhead": serving.overhead,
    "concurrent": serving.concurrent,
    "listening": listening.listening,
    "live": conversing.conversing,
    "pipelines": pipelines.pipelines,
    "start": serving.start,
}
"""The scenarios by name, in the order they run."""


async def _run(names: list[str], *, quick: bool) -> list[Result]:
    results: list[Result] = []
    async with Environment(quick=quick) as environment:
        for name in names:
            result = await SCENARIOS[name](environment)
            await environment.clear()
            print(summary(result), flush=True)
            results.append(result)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run the bench; returns 0 when every bar holds, 1 when one does not, 2 when it could not run."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
    options = parser.parse_args(arguments)
    names: list[str] = options.only or list(SCENARIOS)
    try:
        results = uvloop.run(_run(names, quick=options.quick))
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    # A partial or quick run is for the eye: it must not pass for the figures of record.
    name = "bench" if not options.only and not options.quick else "partial"
    (RESULTS / f"{name}.md").write_text(markdown(results, quick=options.quick), encoding="utf-8")
    drawn = draw(results, RESULTS / f"{name}.png")
    print(f"\nWritten: deploy/bench/results/{name}.md" + (f" and {name}.png" if drawn else "; no plot"))
    failed = [result.name for result in results if not result.passed]
    unmeasured = [result.name for result in results if result.unmeasured]
    if unmeasured:
        print(f"Not measured: {', '.join(unmeasured)}")
    print(f"Failed: {', '.join(failed)}" if failed else "Every bar that was measured holds.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
