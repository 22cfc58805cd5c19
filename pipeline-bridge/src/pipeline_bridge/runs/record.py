"""What is kept of a run: enough for any replica to go on with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Self

import msgspec

from handler_base.messages import PipelineStatus
from handler_base.messages.pipeline import Artifact
from pipeline_bridge.catalog import EngineName, Pipeline
from pipeline_bridge.engines import Produced, RunRef, RunRequest

__all__ = ["FINAL", "RunRecord", "now", "rank"]

FINAL: Final = frozenset({"succeeded", "failed"})

_RANK: Final = {"": 0, "error": 0, "submitted": 1, "pending": 2, "running": 3, "succeeded": 4, "failed": 4}


def rank(status: str) -> int:
    """Return how far on its way a status is; a run is only ever told one with a higher rank than the last."""
    return _RANK.get(status, 0)


def now() -> str:
    """Return the time as statuses have it: ISO 8601 in UTC with Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a pipeline's definition a run needs, as it was when it was triggered."""

    template: str = ""
    pipeline: str = ""
    version: str = ""
    steps: tuple[str, ...] = ()
    timeout: float = 0.0


class RunRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A run, as the bucket has it.

    Attributes:
        request_id: Of the trigger.
        pipeline: Name of the pipeline.
        engine: Where it runs.
        parameters: Checked and typed.
        target: What it is started from.
        owner: The replica that follows it.
        run_id: As the engine names it; empty while it is not known to be started.
        status: The last one that was told; empty: none.
        sequence: Where the stream has that status.
        submitted_at: When it was triggered.
        progress: As far as the engine has told.
        message: The last line for people.
        error: Why it failed.
        artifacts: What it has made.
        cancelled: Whether somebody asked to stop it.
        finished_at: When its final status was told.
    """

    request_id: str
    pipeline: str
    engine: EngineName
    parameters: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
    target: Target = Target()
    owner: str = ""
    run_id: str = ""
    status: str = ""
    sequence: int = 0
    submitted_at: str = ""
    progress: str = ""
    message: str = ""
    error: str = ""
    artifacts: tuple[Produced, ...] = ()
    cancelled: bool = False
    finished_at: str = ""

    @classmethod
    def of(cls, request: RunRequest, engine: EngineName, owner: str) -> Self:
        """Return the record of a run that is about to be started."""
        pipeline = request.pipeline
        target = Target(
            pipeline.template, pipeline.pipeline, pipeline.version, pipeline.steps, pipeline.timeout.total_seconds()
        )
        return cls(
            request_id=request.request_id,
            pipeline=pipeline.name,
            engine=engine,
            parameters=dict(request.parameters),
            target=target,
            owner=owner,
            submitted_at=now(),
        )

    @property
    def final(self) -> bool:
        """Whether its final status was told."""
        return self.status in FINAL

    @property
    def request(self) -> RunRequest:
        """What it is started from."""
        pipeline = Pipeline(
            name=self.pipeline,
            engine=self.engine,
            template=self.target.template,
            pipeline=self.target.pipeline,
            version=self.target.version,
            steps=self.target.steps,
            timeout=timedelta(seconds=self.target.timeout),
        )
        return RunRequest(self.request_id, pipeline, self.parameters)

    @property
    def ref(self) -> RunRef:
        """The started run."""
        return RunRef(self.run_id, self.request)

    @property
    def remaining(self) -> float:
        """Seconds until it counts as taking too long."""
        age = datetime.now(UTC) - datetime.fromisoformat(self.submitted_at)
        return self.target.timeout - age.total_seconds()

    def told(self, status: str) -> PipelineStatus:
        """Return the message that tells a status."""
        return PipelineStatus(
            request_id=self.request_id,
            status=status,
            run_id=self.run_id,
            engine=self.engine.value,
            pipeline=self.pipeline,
            submitted_at=self.submitted_at,
            error=self.error if status == "failed" else "",
            message=self.message,
            timestamp=now(),
            progress=self.progress,
            artifacts=[
                Artifact(
                    id=f"{self.run_id}/{made.name}", run_id=self.run_id, name=made.name, type=made.type, uri=made.uri
                )
                for made in self.artifacts
            ],
            finished_at=self.finished_at,
        )
