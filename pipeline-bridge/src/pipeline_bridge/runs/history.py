"""Tells what happened to runs, as events of the domain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from handler_base.nats_client import EventLog
from pipeline_bridge.engines import Produced, StepChange
from pipeline_bridge.runs.record import RunRecord

__all__ = ["History"]

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.()-]+")
_LONGEST: Final = 128


class History:
    """Records the events of section 5 of the contract.

    An event that is told again, since a replica died right after it told it, has the same id; the stream forgets ids
    after two minutes.

    Args:
        events: Where they go; None: nobody is to know.
    """

    def __init__(self, events: EventLog | None) -> None:
        self._events = events

    def triggered(self, request_id: str, pipeline: str) -> None:
        """Tell that a trigger came."""
        self._record("trigger_received", request_id, pipeline=pipeline)

    def created(self, record: RunRecord) -> None:
        """Tell that an engine took a run."""
        self._record("run_created", record.request_id, **_of_run(record))

    def steps(self, record: RunRecord, changes: Iterable[StepChange]) -> None:
        """Tell which steps began and ended."""
        for change in changes:
            name = "step_completed" if change.done else "step_started"
            step = _UNSAFE.sub("_", change.name)[:_LONGEST]
            data = {"run_id": record.run_id, "step": step, "progress": record.progress}
            if change.done:
                self._record(name, record.request_id, step, **data, succeeded=not change.failed)
            else:
                self._record(name, record.request_id, step, **data)

    def progress(self, record: RunRecord) -> None:
        """Tell that parts of a step are done, where the engine counts them but does not name them."""
        data: dict[str, str | bool] = {"run_id": record.run_id, "part": True, "progress": record.progress}
        if record.message:
            data["message"] = record.message
        self._record("step_completed", record.request_id, _UNSAFE.sub("_", record.progress), **data)

    def artifacts(self, record: RunRecord, made: Iterable[Produced]) -> None:
        """Tell what was made."""
        for each in made:
            part = _UNSAFE.sub("_", each.name)[:_LONGEST]
            data = {"run_id": record.run_id, "name": each.name, "type": each.type, "uri": each.uri}
            self._record("artifact_produced", record.request_id, part, **data)

    def completed(self, record: RunRecord) -> None:
        """Tell that a run ended: all of it once more, since the archive may rest on this event alone."""
        data = {"status": record.status, "error": record.error, "finished_at": record.finished_at}
        self._record("run_completed", record.request_id, **_of_run(record), **data)

    def _record(self, event: str, request_id: str, part: str = "", /, **data: str | bool) -> None:
        if self._events is not None:
            self._events.record(event, request_id=request_id, part=part, data={**data})


def _of_run(record: RunRecord) -> dict[str, str]:
    return {
        "run_id": record.run_id,
        "pipeline": record.pipeline,
        "engine": record.engine.value,
        "submitted_at": record.submitted_at,
        # Data of events is flat.
        "parameters": msgspec.json.encode(record.parameters).decode(),
    }
