"""Which engine a pipeline runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipeline_bridge.catalog import Catalog, EngineName, Pipeline
from pipeline_bridge.settings import BridgeSettings

__all__ = ["EngineChoice"]


class EngineChoice:
    """Chooses engines by the settings.

    With `auto`, Argo and Kubeflow count as set up where the bridge runs inside Kubernetes, or where their host is set.
    Nothing is probed: an engine that is away for a moment must not send a run to another one.

    Args:
        settings: Of the bridge.
        environment: Of its process.
    """

    def __init__(self, settings: BridgeSettings, environment: Mapping[str, str] | None = None) -> None:
        self._mode = settings.pipeline_engine
        inside = bool((os.environ if environment is None else environment).get("KUBERNETES_SERVICE_HOST"))
        given = settings.model_fields_set
        self._set_up = {
            EngineName.ARGO: inside or "argo_host" in given,
            EngineName.KUBEFLOW: inside or "kubeflow_host" in given,
            EngineName.LOCAL: True,
        }

    def engine_of(self, pipeline: Pipeline) -> EngineName | None:
        """Return where a pipeline runs; None: nowhere here."""
        engine = pipeline.engine
        if self._mode == "local" or (self._mode == "auto" and not self._set_up[engine]):
            engine = EngineName.LOCAL
        return engine if pipeline.runs_on(engine) else None

    def available(self, catalog: Catalog) -> list[str]:
        """Return the names of the pipelines that run here."""
        return [name for name in catalog.names if self.engine_of(catalog.pipelines[name]) is not None]

    def used(self, catalog: Catalog) -> frozenset[EngineName]:
        """Return the engines that some pipeline runs on."""
        engines = (self.engine_of(pipeline) for pipeline in catalog.pipelines.values())
        return frozenset(engine for engine in engines if engine is not None)
