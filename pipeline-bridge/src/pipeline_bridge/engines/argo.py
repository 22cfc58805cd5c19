"""Argo Workflows, by the REST API of its server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote

from handler_base.errors import InvalidRequestError, NotFoundError
from handler_base.messages.domain import RunState
from pipeline_bridge.catalog import EngineName, Value
from pipeline_bridge.engines.argo_objects import Workflow, update_of
from pipeline_bridge.engines.argo_watch import LABELS, MANAGED_BY, ArgoWatch
from pipeline_bridge.engines.engine import RunRef, RunRequest, Update
from pipeline_bridge.engines.http import Access, AlreadyExistsError, EngineApi

__all__ = ["ArgoEngine"]

_REQUEST_LABEL: Final = "pipeline-bridge/request"
_LONGEST_STEM: Final = 40


class ArgoEngine:
    """Submits from WorkflowTemplates, and follows all runs by one watch.

    Args:
        access: How to reach Argo's server.
        namespace: Where the templates are, and the workflows.
    """

    name: Final = EngineName.ARGO

    def __init__(self, access: Access, namespace: str) -> None:
        self._api = EngineApi("Argo", access)
        self._namespace = namespace
        self._root = f"/api/v1/workflows/{quote(namespace, safe='')}"
        self._watch = ArgoWatch(self._api, namespace)

    @property
    def available(self) -> bool:
        """Whether the last call was answered."""
        return self._api.available

    async def open(self) -> None:
        """Make the client; the watch begins with the first run."""
        self._api.open()

    async def close(self) -> None:
        """End the watch."""
        await self._watch.close()
        await self._api.close()

    async def submit(self, request: RunRequest) -> str:
        """Submit the pipeline's template under a name that follows from the request, so that it cannot run twice."""
        pipeline = request.pipeline
        name = f"{pipeline.template[:_LONGEST_STEM].rstrip('-.')}-{request.digest[:20]}"
        labels = {**LABELS, "pipeline-bridge/pipeline": pipeline.name, _REQUEST_LABEL: request.digest}
        body = {
            "namespace": self._namespace,
            "resourceKind": "WorkflowTemplate",
            "resourceName": pipeline.template,
            "submitOptions": {
                "name": name,
                "labels": ",".join(f"{key}={value}" for key, value in labels.items()),
                "parameters": [f"{key}={_written(value)}" for key, value in request.parameters.items()],
            },
        }
        try:
            await self._api.call("POST", f"{self._root}/submit", Workflow, query=_NAMED, body=body)
        except AlreadyExistsError:
            there = await self._api.call("GET", self._path(name), Workflow, query=_NAMED)
            if there.metadata.labels.get(_REQUEST_LABEL) != request.digest:
                raise InvalidRequestError("Argo has another workflow of that name.") from None
        return name

    async def follow(self, run: RunRef) -> AsyncGenerator[Update, None]:
        """Follow a workflow by the watch that all share."""
        phases: dict[str, str] = {}
        async with self._watch.following(run.run_id) as seen:
            while True:
                workflow = await seen.next()
                if workflow is None:
                    yield Update(RunState.FAILED, error="The run was deleted from Argo.")
                    return
                update = update_of(workflow, phases)
                yield update
                if update.state.final:
                    return

    async def cancel(self, run: RunRef) -> None:
        """Stop a workflow; its exit handlers run."""
        body = {"namespace": self._namespace, "name": run.run_id, "message": "cancelled"}
        try:
            await self._api.call("PUT", f"{self._path(run.run_id)}/stop", dict[str, Any], body=body)
        except (NotFoundError, InvalidRequestError):
            return  # gone, or over: Argo refuses to stop what has ended

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='')}"


_NAMED: Final = {"fields": "metadata.name,metadata.labels"}
__doc__ += f"\n\nWorkflows of the bridge have the label {MANAGED_BY}."


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
