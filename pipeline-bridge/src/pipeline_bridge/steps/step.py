"""What a step is handed: its parameters, and the means to tell how it goes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages.domain import check_artifact_uri
from pipeline_bridge.steps.lines import Assignment, Failure, Made, Progress, Report, StepReport

__all__ = ["Step"]

T = TypeVar("T")


class Step:
    """One run of a step.

    Args:
        assignment: What is to be done.
        output: Where the reports go, a line each.
        progress_file: Where Argo's executor reads how far a container is; None outside of Argo.
    """

    def __init__(self, assignment: Assignment, output: BinaryIO, progress_file: Path | None = None) -> None:
        self.assignment = assignment
        self._output = output
        self._progress_file = progress_file

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as text.

        Raises:
            InvalidRequestError: It is missing, and there is no default.
        """
        value = self.assignment.parameters.get(name, default)
        if value == "":
            raise InvalidRequestError(f"Parameter {name} is missing.")
        return str(value)

    def parameters(self, kind: type[T]) -> T:
        """Return all parameters as a struct; text stands for numbers and booleans, as workflow engines pass them.

        Raises:
            InvalidRequestError: One is unknown, missing or of another type.
        """
        try:
            return msgspec.convert(dict(self.assignment.parameters), kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"The parameters do not fit the step: {error}.") from None

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Tell how many parts are done, of all."""
        self._tell(Progress(done, total, message))
        if self._progress_file is not None and total > 0:
            self._progress_file.write_text(f"{done}/{total}\n", encoding="utf-8")

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
