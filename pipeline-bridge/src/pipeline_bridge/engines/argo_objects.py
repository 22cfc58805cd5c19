"""Workflows as Argo's server writes them, as far as the bridge reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages.domain import RunState, check_artifact_uri
from pipeline_bridge.engines.engine import Produced, StepChange, Update

__all__ = ["FIELDS", "Event", "Workflow", "WorkflowList", "update_of"]

FIELDS: Final = (
    "metadata.name",
    "metadata.labels",
    "metadata.resourceVersion",
    "status.phase",
    "status.startedAt",
    "status.progress",
    "status.message",
    "status.nodes",
    "status.artifactRepositoryRef",
)
"""What is asked for of a workflow; the rest stays where it is."""

_DONE: Final = frozenset({"Succeeded", "Failed", "Error", "Skipped", "Omitted"})
_FAILED: Final = frozenset({"Failed", "Error"})
_STATES: Final = {
    "Running": RunState.RUNNING,
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Error": RunState.FAILED,
}
_STEP_TYPES: Final = frozenset({"Pod", "Container", "HTTP", "Plugin", "Suspend"})
"""Nodes that do something; the others hold them together."""


class _Metadata(msgspec.Struct):
    name: str = ""
    resourceVersion: str = ""  # noqa: N815 - as the API has it
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class _S3(msgspec.Struct):
    bucket: str = ""
    key: str = ""


class _Artifact(msgspec.Struct):
    name: str = ""
    s3: _S3 | None = None


class _Outputs(msgspec.Struct):
    artifacts: list[_Artifact] | None = None


class _Node(msgspec.Struct):
    displayName: str = ""  # noqa: N815 - as the API has it
    type: str = ""
    phase: str = ""
    outputs: _Outputs | None = None


class _Repository(msgspec.Struct):
    s3: _S3 | None = None


class _RepositoryRef(msgspec.Struct):
    artifactRepository: _Repository | None = None  # noqa: N815 - as the API has it


class _Status(msgspec.Struct):
    phase: str = ""
    startedAt: str | None = None  # noqa: N815 - as the API has it
    progress: str = ""
    message: str = ""
    nodes: dict[str, _Node] | None = None
    artifactRepositoryRef: _RepositoryRef | None = None  # noqa: N815 - as the API has it


class Workflow(msgspec.Struct):
    """A workflow."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def state(self) -> RunState:
        """Where it stands."""
        return _STATES.get(self.status.phase, RunState.PENDING)


class _ListMetadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 - as the API has it
    token: str = msgspec.field(name="continue", default="")


class WorkflowList(msgspec.Struct):
    """A page of workflows; `items` is null where there are none."""

    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)
    items: list[Workflow] | None = None


class _Change(msgspec.Struct):
    type: str = ""
    object: Workflow = msgspec.field(default_factory=Workflow)


class _Error(msgspec.Struct):
    message: str = ""


class Event(msgspec.Struct):
    """A line of the watch: a change, or why there are no more."""

    result: _Change | None = None
    error: _Error | None = None


def update_of(workflow: Workflow, phases: dict[str, str]) -> Update:
    """Return what is new of a workflow.

    Args:
        workflow: As it is now.
        phases: The phases of its nodes when it was last looked at; brought up to date.
    """
    state = workflow.state
    nodes = workflow.status.nodes or {}
    steps = []
    for key, node in nodes.items():
        before = phases.get(key, "")
        if node.phase == before or node.type not in _STEP_TYPES:
            continue
        phases[key] = node.phase
        if node.phase in _DONE:
            steps.append(StepChange(node.displayName, done=True, failed=node.phase in _FAILED))
        elif not before:
            steps.append(StepChange(node.displayName))
    return Update(
        state=state,
        progress=workflow.status.progress,
        error=_error(nodes) if state is RunState.FAILED else "",
        artifacts=_artifacts(workflow, nodes),
        steps=tuple(steps),
        ran=bool(workflow.status.startedAt) or bool(nodes) or state is not RunState.FAILED,
    )


def _error(nodes: Mapping[str, _Node]) -> str:
    """Say which steps failed; Argo's own words may name addresses and are for the log."""
    failed = sorted({node.displayName for node in nodes.values() if node.phase in _FAILED and node.type in _STEP_TYPES})
    return f"The workflow failed at: {', '.join(failed)[:300]}." if failed else "The workflow failed."


def _artifacts(workflow: Workflow, nodes: Mapping[str, _Node]) -> tuple[Produced, ...]:
    reference = workflow.status.artifactRepositoryRef
    repository = reference.artifactRepository if reference is not None else None
    bucket = repository.s3.bucket if repository is not None and repository.s3 is not None else ""
    found = []
    for node in nodes.values():
        for artifact in (node.outputs.artifacts if node.outputs is not None else None) or ():
            if artifact.s3 is not None and artifact.s3.key and node.phase in _DONE:
                name = f"{node.displayName}/{artifact.name}"
                uri = f"s3://{artifact.s3.bucket or bucket}/{artifact.s3.key.lstrip('/')}"
                try:
                    found.append(Produced(name, _kind(artifact.name), check_artifact_uri(uri)))
                except InvalidRequestError:
                    continue  # kept in a place that the contract has no name for
    return tuple(found)


def _kind(name: str) -> str:
    """Return the contract's type of an artifact, by what it is called."""
    lowered = name.lower()
    if "log" in lowered:
        return "logs"
    if any(word in lowered for word in ("metric", "report", "score", "eval")):
        return "metrics"
    return "model" if "model" in lowered else "dataset"
