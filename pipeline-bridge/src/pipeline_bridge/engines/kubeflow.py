"""Kubeflow Pipelines, by its REST API (v2beta1)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from handler_base.errors import InvalidRequestError, NotFoundError
from handler_base.messages.domain import RunState
from pipeline_bridge.catalog import EngineName
from pipeline_bridge.engines.engine import RunRef, RunRequest, Update
from pipeline_bridge.engines.http import Access, AlreadyExistsError, EngineApi
from pipeline_bridge.engines.kubeflow_objects import (
    Experiment,
    ExperimentList,
    KubeflowPipeline,
    KubeflowRun,
    RunList,
    VersionList,
    update_of,
)
from pipeline_bridge.engines.kubeflow_poll import KubeflowPoll

__all__ = ["KubeflowEngine"]

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROOT: Final = "/apis/v2beta1"
_PINNED_SECONDS: Final = 5.0

T = TypeVar("T")


class KubeflowEngine:
    """Creates runs in one experiment, and looks at them now and then.

    Args:
        access: How to reach the API server.
        namespace: Of runs and experiment; empty in single-user mode.
        experiment: Name of the experiment; made where it is missing.
        least: Least seconds between two looks.
        most: Most seconds between two looks.
    """

    name: Final = EngineName.KUBEFLOW

    def __init__(self, access: Access, *, namespace: str, experiment: str, least: float, most: float) -> None:
        self._api = EngineApi("Kubeflow", access)
        self._namespace = namespace
        self._experiment = experiment
        self._experiment_id = ""
        self._finding = asyncio.Lock()
        self._pinned: dict[tuple[str, str], tuple[dict[str, str], float]] = {}
        self._poll = KubeflowPoll(self._api, least=least, most=most)

    @property
    def available(self) -> bool:
        """Whether the last call was answered."""
        return self._api.available

    async def open(self) -> None:
        """Make the client; the looking begins with the first run."""
        self._api.open()

    async def close(self) -> None:
        """Look no more."""
        await self._poll.close()
        await self._api.close()

    async def submit(self, request: RunRequest) -> str:
        """Create a run, unless there is one of the name that follows from the request."""
        name = f"{request.pipeline.name[:80]}-{request.digest[:20]}"
        experiment = await self._find_experiment()
        try:
            there = await self._runs_named(name, experiment)
        except NotFoundError:
            self._experiment_id = ""
            raise
        if not there:
            await self._create(name, experiment, request)
            # The API knows no unique names: what another replica created at the same moment is found by all.
            there = await self._runs_named(name, experiment)
        if not there:
            raise InvalidRequestError("Kubeflow did not keep the run.")
        first, *others = sorted(there, key=lambda run: (run.created_at, run.run_id))
        for other in others:
            await self._terminate(other.run_id)
        return first.run_id

    async def follow(self, run: RunRef) -> AsyncGenerator[Update, None]:
        """Follow a run by the looks that all share."""
        phases: dict[str, str] = {}
        async with self._poll.following(run.run_id) as seen:
            while True:
                found = await seen.next()
                if found is None:
                    yield Update(RunState.FAILED, error="The run was deleted from Kubeflow.")
                    return
                update = update_of(found, phases)
                yield update
                if update.state.final:
                    return

    async def cancel(self, run: RunRef) -> None:
        """Terminate a run."""
        await self._terminate(run.run_id)
        self._poll.hurry()

    async def _terminate(self, run_id: str) -> None:
        try:
            path = f"{_ROOT}/runs/{quote(run_id, safe='')}:terminate"
            await self._api.call("POST", path, dict[str, Any])
        except (NotFoundError, InvalidRequestError):
            return  # gone, or over

    async def _create(self, name: str, experiment: str, request: RunRequest) -> None:
        body = {
            "display_name": name,
            "description": f"Pipeline {request.pipeline.name}, started by the pipeline bridge.",
            "experiment_id": experiment,
            "pipeline_version_reference": await self._reference(request.pipeline.pipeline, request.pipeline.version),
            "runtime_config": {"parameters": dict(request.parameters)},
        }
        await self._api.call("POST", f"{_ROOT}/runs", KubeflowRun, body=body)

    async def _runs_named(self, name: str, experiment: str) -> list[KubeflowRun]:
        query = {"experiment_id": experiment, "filter": _equals("display_name", name), "page_size": "10"}
        found = await self._api.call("GET", f"{_ROOT}/runs", RunList, query=query)
        return found.runs or []

    async def _reference(self, pipeline: str, version: str) -> dict[str, str]:
        """Return what a run is pinned to; what was found serves those that come within a few seconds as well."""
        async with self._finding:
            found, until = self._pinned.get((pipeline, version), ({}, 0.0))
            if until < time.monotonic():
                pipeline_id = await self._find_pipeline(pipeline)
                version_id = await self._find_version(pipeline_id, version)
                found = {"pipeline_id": pipeline_id, "pipeline_version_id": version_id}
                self._pinned[pipeline, version] = found, time.monotonic() + _PINNED_SECONDS
            return found

    async def _find_pipeline(self, named: str) -> str:
        if _ID.fullmatch(named):
            return named
        path = f"{_ROOT}/pipelines/names/{quote(named, safe='')}"
        found = await self._api.call("GET", path, KubeflowPipeline, query=self._scope())
        return found.pipeline_id

    async def _find_version(self, pipeline_id: str, named: str) -> str:
        """Return the id of the version a run is pinned to: the one that is named, or the newest."""
        if _ID.fullmatch(named):
            return named
        path = f"{_ROOT}/pipelines/{quote(pipeline_id, safe='')}/versions"
        query = {"sort_by": "created_at desc", "page_size": "1" if not named else "100"}
        while True:
            page = await self._api.call("GET", path, VersionList, query=query)
            for version in page.pipeline_versions or ():
                if not named or named in {version.name, version.display_name}:
                    return version.pipeline_version_id
            if not page.next_page_token:
                raise NotFoundError("Kubeflow has no such version of the pipeline.")
            query["page_token"] = page.next_page_token

    async def _find_experiment(self) -> str:
        async with self._finding:
            if not self._experiment_id:
                self._experiment_id = await self._named_experiment() or await self._make_experiment()
                self._poll.experiment_id = self._experiment_id
            return self._experiment_id

    async def _named_experiment(self) -> str:
        query = {"filter": _equals("display_name", self._experiment), "page_size": "10", **self._scope()}
        found = await self._api.call("GET", f"{_ROOT}/experiments", ExperimentList, query=query)
        for experiment in found.experiments or ():
            if experiment.storage_state != "ARCHIVED":
                return experiment.experiment_id
        return ""

    async def _make_experiment(self) -> str:
        body = {"display_name": self._experiment, "description": "Runs of the pipeline bridge.", **self._scope()}
        try:
            made = await self._api.call("POST", f"{_ROOT}/experiments", Experiment, body=body)
        except AlreadyExistsError:
            return await self._named_experiment()  # another replica was first
        return made.experiment_id

    def _scope(self) -> dict[str, str]:
        return {"namespace": self._namespace} if self._namespace else {}


def _equals(key: str, value: str) -> str:
    predicate = {"operation": "EQUALS", "key": key, "string_value": value}
    return msgspec.json.encode({"predicates": [predicate]}).decode()
