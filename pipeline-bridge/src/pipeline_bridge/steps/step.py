"""What a step is handed: its parameters, and the means to tell how it goes."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages.domain import check_artifact_uri
from pipeline_bridge.steps.lines import Assignment, Failure, Made, Progress, Report, StepReport

__all__ = ["Step"]


class Step:
    """One run of a step.

    Args:
        assignment: What is to be done.
        output: Where the reports go, a line each.
    """

    def __init__(self, assignment: Assignment, output: BinaryIO) -> None:
        self.assignment = assignment
        self._output = output

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as text.

        Raises:
            InvalidRequestError: It is missing, and there is no default.
        """
        value = self.assignment.parameters.get(name, default)
        if value == "":
            raise InvalidRequestError(f"Parameter {name} is missing.")
        return str(value)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Tell how many parts are done, of all."""
        self._tell(Progress(done, total, message))

    def began(self, name: str) -> None:
        """Tell that a named part of the work began."""
        self._tell(StepReport(name))

    def ended(self, name: str, *, failed: bool = False) -> None:
        """Tell that a named part of the work ended."""
        self._tell(StepReport(name, done=True, failed=failed))

    def made(self, name: str, kind: str, uri: str) -> None:
        """Tell of something that was made.

        Args:
            name: What it is called.
            kind: `model`, `dataset`, `metrics` or `logs`.
            uri: ``s3://bucket/key``.

        Raises:
            InvalidRequestError: The address is not of that form.
        """
        self._tell(Made(name, kind, check_artifact_uri(uri)))

    def failed(self, message: str) -> None:
        """Tell why it fails, in words that are safe to show."""
        self._tell(Failure(message))

    def _tell(self, report: Report) -> None:
        self._output.write(msgspec.json.encode(report) + b"\n")
        self._output.flush()
