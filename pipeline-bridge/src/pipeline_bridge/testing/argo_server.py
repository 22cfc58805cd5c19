"""A fake of argo-server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from hera.workflows import models
from pydantic import BaseModel, ValidationError

from pipeline_bridge.testing.engine_server import FakeEngineServer

__all__ = ["FakeArgo"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LIST_OPTIONS: Final = frozenset(
    f"listOptions.{name}"
    for name in (
        *("labelSelector", "fieldSelector", "watch", "allowWatchBookmarks", "resourceVersion"),
        *("resourceVersionMatch", "timeoutSeconds", "limit", "continue", "sendInitialEvents"),
    )
)
_FINAL: Final = frozenset({"Succeeded", "Failed", "Error"})
_COMPLETED: Final = "workflows.argoproj.io/completed"

Document = dict[str, Any]


class FakeArgo(FakeEngineServer):
    """Workflows that are where the test puts them.

    Attributes:
        namespace: The one there is.
        templates: Names of the WorkflowTemplates.
        workflows: By name, as the API has them.
        stopped: Names of the workflows that were stopped.
        page: Most items of a page; 0: as many as are asked for.
    """

    def __init__(
        self, *templates: str, namespace: str = "ai-ml", token: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(token=token, tls=tls)
        self.namespace = namespace
        self.templates = set(templates)
        self.workflows: dict[str, Document] = {}
        self.stopped: list[str] = []
        self.page = 0
        self._version = 100
        self._log: list[tuple[int, bytes]] = []
        self._forgotten = 0
        self._watchers: dict[asyncio.Queue[bytes | None], None] = {}

    @property
    def watches(self) -> int:
        """Watches that are open."""
        return len(self._watchers)

    def routes(self) -> dict[tuple[str, str], Answer]:
        """Return what answers each method and path."""
        root = f"/api/v1/workflows/{self.namespace}"
        return {
            ("POST", f"{root}/submit"): self._submit,
            ("GET", root): self._list,
            ("GET", f"{root}/{{name}}"): self._get,
            ("PUT", f"{root}/{{name}}/stop"): self._stop,
            ("GET", f"/api/v1/workflow-events/{self.namespace}"): self._watch,
        }

    def put(self, name: str, phase: str, *, progress: str = "", nodes: Document | None = None, **status: Any) -> None:  # noqa: ANN401 - as the API has it
        """Put a workflow in a phase, and tell the watches."""
        workflow = self.workflows[name]
        workflow["status"] = {
            "phase": phase,
            "startedAt": "2026-01-01T00:00:00Z" if phase not in {"", "Pending"} else None,
            "progress": progress,
            "nodes": nodes or workflow.get("status", {}).get("nodes") or {},
            **status,
        }
        if phase in _FINAL:
            workflow["metadata"]["labels"][_COMPLETED] = "true"
        self._changed("MODIFIED", workflow)

    def delete(self, name: str, *, unseen: bool = False) -> None:
        """Take a workflow away; `unseen` as if it happened while nobody watched."""
        workflow = self.workflows.pop(name)
        if not unseen:
            self._changed("DELETED", workflow)

    def cut(self) -> None:
        """End every watch."""
        for watcher in list(self._watchers):
            watcher.put_nowait(None)

    def forget(self) -> None:
        """Have every version so far be too old for a watch."""
        self._version += 1
        self._forgotten = self._version
        self._log.clear()

    def _changed(self, kind: str, workflow: Document) -> None:
        self._version += 1
        workflow["metadata"]["resourceVersion"] = str(self._version)
        line = msgspec.json.encode({"result": {"type": kind, "object": workflow}}) + b"\n"
        self._log.append((self._version, line))
        for watcher in self._watchers:
            watcher.put_nowait(line)

    async def _submit(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._check(models.WorkflowSubmitRequest, body)
        self._check(models.SubmitOpts, body["submitOptions"])
        options = body["submitOptions"]
        if body["resourceKind"] != "WorkflowTemplate" or body["namespace"] != self.namespace:
            return self.failed(400, "not a kind that can be submitted")
        if body["resourceName"] not in self.templates:
            return self.failed(404, "workflowtemplates not found")
        name = options["name"]
        if name in self.workflows:
            return self.failed(409, f'workflows "{name}" already exists')
        labels = dict(pair.split("=", 1) for pair in options["labels"].split(","))
        given = [pair.split("=", 1) for pair in options.get("parameters", ())]
        workflow: Document = {
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels, "uid": f"uid-{name}"},
            "spec": {
                "workflowTemplateRef": {"name": body["resourceName"]},
                "arguments": {"parameters": [{"name": key, "value": value} for key, value in given]},
            },
            "status": {},
        }
        self.workflows[name] = workflow
        self._changed("ADDED", workflow)
        return web.json_response(workflow)

    async def _get(self, request: web.Request) -> web.Response:
        self._check_query(request, {"fields", "uid", "getOptions.resourceVersion"})
        workflow = self.workflows.get(request.match_info["name"])
        return self.failed(404, "not found") if workflow is None else web.json_response(workflow)

    async def _list(self, request: web.Request) -> web.Response:
        self._check_query(request, {*_LIST_OPTIONS, "fields", "nameFilter"})
        query = request.query
        found = [workflow for workflow in self.workflows.values() if _matches(workflow, query)]
        start = int(query.get("listOptions.continue", "0"))
        limit = min(int(query.get("listOptions.limit", "0")) or len(found), self.page or len(found)) or 1
        metadata: Document = {"resourceVersion": str(self._version)}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        # As Go writes an empty list.
        return web.json_response({"metadata": metadata, "items": found[start : start + limit] or None})

    async def _stop(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._check(models.WorkflowStopRequest, body)
        name = request.match_info["name"]
        workflow = self.workflows.get(name)
        if workflow is None:
            return self.failed(404, "not found")
        if workflow["status"].get("phase") in _FINAL:
            return self.failed(400, "cannot shutdown a completed workflow")
        self.stopped.append(name)
        self.put(name, "Failed", message="Stopped with strategy 'Stop'")
        return web.json_response(workflow)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self._check_query(request, {*_LIST_OPTIONS, "fields"})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        since = int(request.query.get("listOptions.resourceVersion") or 0)
        if 0 < since < self._forgotten:
            error = {"grpc_code": 13, "http_code": 500, "message": "watch object was not a workflow *v1.Status"}
            await response.write(msgspec.json.encode({"error": error}) + b"\n")
            return response
        events: asyncio.Queue[bytes | None] = asyncio.Queue()
        for version, line in self._log:
            if version > since:
                events.put_nowait(line)
        self._watchers[events] = None
        try:
            while (event := await events.get()) is not None:
                await response.write(event)
        finally:
            self._watchers.pop(events, None)
        assert request.transport is not None  # noqa: S101 - it is being answered
        request.transport.abort()
        return response

    def _check(self, model: type[BaseModel], body: Document) -> None:
        """Note what in a body the official model does not know, or would not take."""
        known = {field.alias or name for name, field in model.model_fields.items()}
        if set(body) - known:
            self.wrong.append(f"{model.__name__} has no {sorted(set(body) - known)}")
        try:
            model.model_validate(body)
        except ValidationError as error:
            self.wrong.append(str(error))

    def _check_query(self, request: web.Request, known: set[str]) -> None:
        unknown = set(request.query) - known
        if unknown:
            self.wrong.append(f"{request.path} has no {sorted(unknown)}")


def _matches(workflow: Document, query: Any) -> bool:  # noqa: ANN401 - a mapping of aiohttp's
    labels = workflow["metadata"]["labels"]
    for part in filter(None, query.get("listOptions.labelSelector", "").split(",")):
        if "!=" in part:
            key, value = part.split("!=")
            if labels.get(key) == value:
                return False
        else:
            key, value = part.split("=")
            if labels.get(key) != value:
                return False
    return True
