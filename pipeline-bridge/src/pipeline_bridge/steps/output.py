"""Where a run keeps its files: what it produced, and what a later attempt at it goes on from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from handler_base.errors import InternalError
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.step import Step

__all__ = ["Output"]

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Output:
    """The folder of one run: `ARTIFACTS_DIR`, and in it one named after the run where it has a name.

    Args:
        step: Whose files they are.
        settings: Where the folder is, and what its address in S3 is.

    Raises:
        InternalError: The run's id is no name for a folder.
    """

    def __init__(self, step: Step, settings: StepSettings) -> None:
        run_id = step.assignment.run_id
        if run_id and not _RUN_ID.fullmatch(run_id):
            raise InternalError
        self._step = step
        self._folder = Path(settings.artifacts_dir) / run_id
        self._address = "/".join(part for part in (settings.artifacts_url.rstrip("/"), run_id) if part)
        self._in_s3 = bool(settings.artifacts_url)

    def path(self, name: str) -> Path:
        """Return the path of a file that the next attempt at the same run finds again; blocks."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole or not at all; blocks."""
        path = self.path(name)
        fresh = path.with_name(f"{name}.new")
        fresh.write_bytes(content)
        fresh.replace(path)

    def produced(self, name: str, kind: str) -> str:
        """Tell of a file that was written, where it has an address that others can use.

        Args:
            name: Of the file.
            kind: `model`, `dataset`, `metrics` or `logs`.

        Returns:
            Where it is, for people.
        """
        if not self._in_s3:
            return str(self._folder / name)
        self._step.made(name, kind, f"{self._address}/{name}")
        return f"{self._address}/{name}"
