"""What a step and the bridge tell each other: JSON lines.

The bridge writes one `Assignment` to the step's standard input and keeps it open: its end means that the bridge is
gone, and the step ends at once, since another replica runs it again. The step writes reports to its standard output,
one a line. What it writes to standard error goes to the log. It ends with status 0 when it is done, and with another
after a `Failure` line that says why.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["MOST_LINE_BYTES", "Assignment", "Failure", "Made", "Progress", "Report", "StepReport"]

MOST_LINE_BYTES: Final = 64 * 1024
"""Longest line that is read."""


class Assignment(msgspec.Struct, frozen=True):
    """What a step is to do.

    Attributes:
        request_id: Of the trigger.
        run_id: Of the run; the same when it is run again after the bridge died.
        pipeline: Name of the pipeline.
        parameters: By the names of the pipeline's definition, typed.
    """

    request_id: str = ""
    run_id: str = ""
    pipeline: str = ""
    parameters: dict[str, str | int | float | bool] = {}


class Progress(msgspec.Struct, frozen=True, tag_field="report", tag="progress", omit_defaults=True):
    """How far a step is: `done` of `total` parts."""

    done: int
    total: int
    message: str = ""


class Made(msgspec.Struct, frozen=True, tag_field="report", tag="artifact", omit_defaults=True):
    """Something was made: `type` is `model`, `dataset`, `metrics` or `logs`, `uri` is ``s3://bucket/key``."""

    name: str
    type: str
    uri: str


class StepReport(msgspec.Struct, frozen=True, tag_field="report", tag="step", omit_defaults=True):
    """A named part of the work began, or ended."""

    name: str
    done: bool = False
    failed: bool = False


class Failure(msgspec.Struct, frozen=True, tag_field="report", tag="failure", omit_defaults=True):
    """Why the step fails, in words that are safe to show."""

    message: str


Report = Progress | Made | StepReport | Failure
