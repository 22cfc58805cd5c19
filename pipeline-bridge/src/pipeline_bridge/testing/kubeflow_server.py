"""A fake of the API server of Kubeflow Pipelines."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import kfp_server_api
from aiohttp import web

from pipeline_bridge.testing.engine_server import FakeEngineServer

__all__ = ["FakeKubeflow"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Document = dict[str, Any]

_ROOT: Final = "/apis/v2beta1"
_FINAL: Final = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
_PAGING: Final = frozenset({"page_token", "page_size", "sort_by", "filter", "namespace"})


class _Body:
    """What the official client reads an answer from."""

    def __init__(self, document: Document) -> None:
        self.data = json.dumps(document)


class FakeKubeflow(FakeEngineServer):
    """Runs that are where the test puts them.

    Attributes:
        pipelines: Ids of the pipelines by name.
        versions: Versions of each pipeline, oldest first: id and name.
        experiments: By id, as the API has them.
        runs: By id, as the API has them.
        terminated: Ids of the runs that were terminated.
        doubles: Whether another replica creates each run a moment later, too.
        page: Most items of a page; 0: as many as are asked for.
    """

    def __init__(self, *pipelines: str, token: str = "") -> None:
        super().__init__(token=token)
        self.pipelines = {name: str(uuid.uuid4()) for name in pipelines}
        self.versions = {pipeline: [(str(uuid.uuid4()), "first")] for pipeline in self.pipelines.values()}
        self.experiments: dict[str, Document] = {}
        self.runs: dict[str, Document] = {}
        self.terminated: list[str] = []
        self.doubles = False
        self.page = 0
        self._client = kfp_server_api.ApiClient()
        self._moments = itertools.count()

    def routes(self) -> dict[tuple[str, str], Answer]:
        """Return what answers each method and path."""
        return {
            ("GET", f"{_ROOT}/experiments"): self._list_experiments,
            ("POST", f"{_ROOT}/experiments"): self._make_experiment,
            ("GET", f"{_ROOT}/pipelines/names/{{name}}"): self._pipeline,
            ("GET", f"{_ROOT}/pipelines/{{id}}/versions"): self._list_versions,
            ("GET", f"{_ROOT}/runs"): self._list_runs,
            ("POST", f"{_ROOT}/runs"): self._create,
            ("GET", f"{_ROOT}/runs/{{id}}"): self._get,
            ("POST", f"{_ROOT}/runs/{{id}}:terminate"): self._terminate,
        }

    def put(self, run_id: str, state: str, tasks: dict[str, str] | None = None) -> None:
        """Put a run in a state, and its tasks."""
        run = self.runs[run_id]
        run["state"] = state
        run["state_history"] = [*run.get("state_history", []), {"state": state}]
        if tasks is not None:
            run["run_details"] = {"task_details": [{"display_name": k, "state": v} for k, v in tasks.items()]}

    async def _list_experiments(self, request: web.Request) -> web.Response:
        self._query(request, _PAGING)
        return self._paged(request, "experiments", list(self.experiments.values()), "V2beta1ListExperimentsResponse")

    async def _make_experiment(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._checked(body, "V2beta1Experiment")
        if any(known["display_name"] == body["display_name"] for known in self.experiments.values()):
            return self.failed(409, "already exists")
        made = {**body, "experiment_id": str(uuid.uuid4()), "storage_state": "AVAILABLE"}
        self.experiments[made["experiment_id"]] = made
        return web.json_response(made)

    async def _pipeline(self, request: web.Request) -> web.Response:
        self._query(request, {"namespace"})
        name = request.match_info["name"]
        if name not in self.pipelines:
            return self.failed(404, "no such pipeline")
        return web.json_response({"pipeline_id": self.pipelines[name], "name": name, "display_name": name})

    async def _list_versions(self, request: web.Request) -> web.Response:
        self._query(request, _PAGING)
        pipeline = request.match_info["id"]
        if pipeline not in self.versions:
            return self.failed(404, "no such pipeline")
        found = [
            {"pipeline_id": pipeline, "pipeline_version_id": version, "name": name, "display_name": name}
            for version, name in self.versions[pipeline]
        ]
        if request.query.get("sort_by") == "created_at desc":
            found.reverse()
        return self._paged(request, "pipeline_versions", found, "V2beta1ListPipelineVersionsResponse")

    async def _list_runs(self, request: web.Request) -> web.Response:
        self._query(request, {*_PAGING, "experiment_id"})
        experiment = request.query.get("experiment_id")
        if experiment and experiment not in self.experiments:
            return self.failed(404, "no such experiment")
        found = [run for run in self.runs.values() if not experiment or run["experiment_id"] == experiment]
        return self._paged(request, "runs", found, "V2beta1ListRunsResponse")

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._checked(body, "V2beta1Run")
        reference = body["pipeline_version_reference"]
        self._checked(reference, "V2beta1PipelineVersionReference")
        self._checked(body["runtime_config"], "V2beta1RuntimeConfig")
        if reference["pipeline_version_id"] not in {v for v, _ in self.versions.get(reference["pipeline_id"], ())}:
            return self.failed(404, "no such version")
        if body["experiment_id"] not in self.experiments:
            return self.failed(404, "no such experiment")
        run = self._made(body)
        if self.doubles:
            self._made(body)
        return web.json_response(run)

    def _made(self, body: Document) -> Document:
        moment = datetime.fromtimestamp(1_800_000_000 + next(self._moments), UTC).isoformat()
        run = {**body, "run_id": str(uuid.uuid4()), "state": "PENDING", "created_at": moment}
        self._checked(run, "V2beta1Run")
        self.runs[run["run_id"]] = run
        return run

    async def _get(self, request: web.Request) -> web.Response:
        self._query(request, {"experiment_id"})
        run = self.runs.get(request.match_info["id"])
        return self.failed(404, "no such run") if run is None else web.json_response(run)

    async def _terminate(self, request: web.Request) -> web.Response:
        run_id = request.match_info["id"]
        if run_id not in self.runs:
            return self.failed(404, "no such run")
        if self.runs[run_id]["state"] in _FINAL:
            return self.failed(400, "cannot terminate a run that is over")
        self.terminated.append(run_id)
        self.put(run_id, "CANCELED")
        return web.json_response({})

    def _paged(self, request: web.Request, key: str, found: list[Document], model: str) -> web.Response:
        text = request.query.get("filter", "")
        predicates = json.loads(text)["predicates"] if text else []
        for predicate in predicates:
            self._checked(predicate, "V2beta1Predicate")
        kept = [item for item in found if _passes(item, predicates)]
        start = int(request.query.get("page_token") or 0)
        size = int(request.query.get("page_size") or 10)
        size = min(size, self.page or size)
        answer: Document = {}
        if kept[start : start + size]:
            answer[key] = kept[start : start + size]
        if start + size < len(kept):
            answer["next_page_token"] = str(start + size)
        if len(kept) < 20:
            self._checked(answer, model)
        return web.json_response(answer)

    def _checked(self, document: Document, model: str) -> None:
        """Note what in a body the official model does not know, or would not take."""
        known = set(getattr(kfp_server_api, model).attribute_map.values())
        if set(document) - known:
            self.wrong.append(f"{model} has no {sorted(set(document) - known)}")
        try:
            self._client.deserialize(_Body(document), model)
        except (ValueError, TypeError, kfp_server_api.ApiException) as error:
            self.wrong.append(f"{model}: {error}")

    def _query(self, request: web.Request, known: frozenset[str] | set[str]) -> None:
        unknown = set(request.query) - known
        if unknown:
            self.wrong.append(f"{request.path} has no {sorted(unknown)}")


def _passes(item: Document, predicates: list[Document]) -> bool:
    for predicate in predicates:
        value = item.get(predicate["key"], "")
        if predicate["operation"] == "EQUALS" and value != predicate["string_value"]:
            return False
        if predicate["operation"] == "IN" and value not in predicate["string_values"]["values"]:
            return False
    return True
