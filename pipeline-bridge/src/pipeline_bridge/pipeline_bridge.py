"""Pipeline triggers in, runs and their status out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from handler_base.errors import FleetError, InvalidRequestError, NotFoundError, UpstreamUnavailableError
from handler_base.handler import Context, Handler, Worker, endpoint
from handler_base.messages import PipelineStatus, PipelineTrigger
from handler_base.messages.streams import AI_PIPELINE, PIPELINE_BRIDGES, PIPELINE_RUNS, BucketSpec, StreamSpec
from handler_base.messages.subjects import PIPELINE_EVENT, PIPELINE_STATUS, PIPELINE_TRIGGER, Subject
from handler_base.nats_client import NatsConnection
from pipeline_bridge.catalog import CatalogWatch, EngineName
from pipeline_bridge.choosing import EngineChoice
from pipeline_bridge.describing import described
from pipeline_bridge.engines import Access, ArgoEngine, Engine, KubeflowEngine, LocalEngine, RunRequest
from pipeline_bridge.inboxes import Inboxes
from pipeline_bridge.runs import RunKeeper, now
from pipeline_bridge.settings import BridgeSettings

__all__ = ["PipelineBridge"]


def _refused(request: PipelineTrigger, error: FleetError) -> PipelineStatus:
    return PipelineStatus(
        request_id=request.request_id,
        status="error",
        pipeline=request.pipeline[:128],
        error=error.message,
        timestamp=now(),
    )


class PipelineBridge(Handler[BridgeSettings]):
    """Trigger → run on its engine → each status once, whichever replica follows it."""

    name: ClassVar[str] = "pipeline-bridge"
    description: ClassVar[str] = "Starts pipelines, and tells how their runs go."
    events: ClassVar[Subject | None] = PIPELINE_EVENT
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_PIPELINE,)
    listens: ClassVar[tuple[Subject, ...]] = (PIPELINE_TRIGGER,)
    buckets: ClassVar[tuple[BucketSpec, ...]] = (PIPELINE_RUNS, PIPELINE_BRIDGES)

    def __init__(self, settings: BridgeSettings) -> None:
        super().__init__(settings)
        self._table = CatalogWatch(settings.pipelines_path, timedelta(seconds=settings.pipelines_reload))
        self._choice = EngineChoice(settings)
        self._engines: dict[EngineName, Engine] = {engine.name: engine for engine in _engines(settings)}
        self._runs: RunKeeper | None = None
        self._inboxes: Inboxes | None = None

    async def open(self) -> None:
        """Make the clients of the engines."""
        for engine in self._engines.values():
            await engine.open()

    async def close(self) -> None:
        """Close them."""
        for engine in self._engines.values():
            await engine.close()

    def workers(self, connection: NatsConnection) -> Sequence[Worker]:
        """Return what follows the runs, notes who asked, and reads the table again."""
        self._runs = RunKeeper(
            connection,
            self._engines,
            submit_timeout=self.settings.submit_timeout,
            events=self.settings.events,
        )
        self._inboxes = Inboxes(connection, self.name)
        return (self._runs, self._inboxes, self._table)

    def metadata(self) -> Mapping[str, str]:
        """Return the pipelines that may be triggered, with their parameters."""
        return {"pipelines": described(self._table.catalog, self._choice)}

    def dependencies(self) -> Mapping[str, bool]:
        """Return which engines answer, of those that some pipeline runs on, and whether the table is valid."""
        used = self._choice.used(self._table.catalog)
        engines = {name.value: engine.available for name, engine in self._engines.items() if name in used}
        return {**engines, "pipelines_file": self._table.valid}

    @endpoint(durable=(PIPELINE_TRIGGER,), respond_on=PIPELINE_STATUS, error_answer=_refused)
    async def trigger(self, request: PipelineTrigger, context: Context) -> None:
        """Start a run, once for each request id; its statuses follow by themselves."""
        runs, inboxes = self._started()
        known = await runs.find(request.request_id)
        if known is None:
            runs.history.triggered(request.request_id, request.pipeline)
            try:
                run, engine = self._read(request)
            except (NotFoundError, InvalidRequestError) as error:
                status = self._error(request, error)
                await runs.statuses.tell(status, 0)
                inboxes.answer(request, status, made_id=context.made_id)
                return
            known = await runs.begin(run, engine)
        inboxes.answer(request, known.told(known.status or "submitted"), made_id=context.made_id)

    def _read(self, request: PipelineTrigger) -> tuple[RunRequest, EngineName]:
        pipeline = self._table.catalog.pipelines.get(request.pipeline)
        if pipeline is None:
            raise NotFoundError("There is no such pipeline.")
        engine = self._choice.engine_of(pipeline)
        if engine is None:
            raise NotFoundError(f"Pipeline {pipeline.name} needs {pipeline.engine}, which is not set up here.")
        return RunRequest(request.request_id, pipeline, pipeline.read(request.parameters)), engine

    def _error(self, request: PipelineTrigger, error: FleetError) -> PipelineStatus:
        status = _refused(request, error)
        if isinstance(error, NotFoundError):
            status.available_pipelines = self._choice.available(self._table.catalog)
        return status

    def _started(self) -> tuple[RunKeeper, Inboxes]:
        if self._runs is None or self._inboxes is None:
            raise UpstreamUnavailableError
        return self._runs, self._inboxes


def _engines(settings: BridgeSettings) -> tuple[Engine, ...]:
    argo = Access(
        settings.argo_host,
        settings.argo_token,
        settings.argo_token_path,
        settings.argo_tls_ca,
        settings.argo_tls_verify,
    )
    kubeflow = Access(
        settings.kubeflow_host,
        settings.kubeflow_token,
        settings.kubeflow_token_path,
        settings.kubeflow_tls_ca,
        settings.kubeflow_tls_verify,
    )
    return (
        ArgoEngine(argo, settings.argo_namespace),
        KubeflowEngine(
            kubeflow,
            namespace=settings.kubeflow_namespace,
            experiment=settings.kubeflow_experiment,
            least=settings.kubeflow_poll,
            most=settings.kubeflow_poll_most,
        ),
        LocalEngine(settings.local_runs, os.environ),
    )
