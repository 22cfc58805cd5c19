"""Messages of pipelines."""

from __future__ import annotations

import msgspec

from handler_base.messages._base import Message
from handler_base.messages._bounds import ListOf, MapOf

__all__ = ["Artifact", "PipelineStatus", "PipelineTrigger"]


class PipelineTrigger(Message):
    """Starts a run. MessagePack publishers also send numbers and booleans as parameters: they become text."""

    request_id: str = ""
    pipeline: str = ""
    parameters: MapOf[str] = msgspec.field(default_factory=dict)


class Artifact(Message):
    """Something a run produced; `uri` is ``s3://...``."""

    id: str = ""
    run_id: str = ""
    name: str = ""
    type: str = ""
    uri: str = ""


class PipelineStatus(Message):
    """Where a run stands: `submitted`, `pending`, `running`, `succeeded`, `failed` or `error`.

    `submitted_at` and `finished_at` are ISO 8601 in UTC, with Z.
    """

    request_id: str = ""
    status: str = ""
    run_id: str = ""
    engine: str = ""
    pipeline: str = ""
    submitted_at: str = ""
    error: str = ""
    available_pipelines: ListOf[str] = msgspec.field(default_factory=list)
    message: str = ""
    timestamp: str = ""
    progress: str = ""
    artifacts: ListOf[Artifact] = msgspec.field(default_factory=list)
    finished_at: str = ""
