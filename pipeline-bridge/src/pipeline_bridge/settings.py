"""Settings of the pipeline bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from handler_base.config import Seconds, Settings
from pipeline_bridge.catalog import BUILT_IN, InvalidCatalogError, read_catalog

__all__ = ["BridgeSettings"]


class BridgeSettings(Settings):
    """What the pipeline bridge reads, besides what every service does."""

    pipelines_file: str = Field("", description="YAML table of the pipelines; empty: the built-in one.")
    pipelines_reload: Seconds = Field(5, description="Seconds between two looks whether the table has changed.")
    pipeline_engine: Literal["auto", "configured", "local"] = Field(
        "auto",
        description="Engine of a pipeline: what the table says where that engine is set up and `local` where it is not,"
        " what the table says, or `local`.",
    )
    argo_host: str = Field("http://argo-server.argo.svc.cluster.local:2746", description="Argo's server.")
    argo_namespace: str = Field(
        "ai-ml", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="Namespace of the workflows."
    )
    argo_token: SecretStr = Field(SecretStr(""), description="Bearer token for Argo's server.")
    argo_token_path: str = Field("", description="Path of a file with the token, read again when it changes.")
    argo_tls_ca: str = Field("", description="Path of the CA certificate of Argo's server; empty: the system's.")
    argo_tls_verify: bool = Field(True, description="Whether its certificate is checked.")
    kubeflow_host: str = Field(
        "http://ml-pipeline.kubeflow.svc.cluster.local:8888", description="Kubeflow Pipelines' API server."
    )
    kubeflow_namespace: str = Field("", description="Namespace of runs and experiment; empty: single-user mode.")
    kubeflow_experiment: str = Field("pipeline-bridge", description="Experiment of the runs; made where it is missing.")
    kubeflow_token: SecretStr = Field(SecretStr(""), description="Bearer token for Kubeflow Pipelines.")
    kubeflow_token_path: str = Field("", description="Path of a file with the token, read again when it changes.")
    kubeflow_tls_ca: str = Field("", description="Path of its CA certificate; empty: the system's.")
    kubeflow_tls_verify: bool = Field(True, description="Whether its certificate is checked.")
    kubeflow_poll: Seconds = Field(0.3, gt=0, description="Least seconds between two looks at the runs of Kubeflow.")
    kubeflow_poll_most: Seconds = Field(
        10, gt=0, description="Most seconds between two looks, when many runs cost much."
    )
    local_runs: int = Field(
        2, ge=1, le=64, description="Runs of the local engine at the same time; others are pending."
    )
    submit_timeout: Seconds = Field(600, description="Seconds a run waits for an engine that is away, then it fails.")

    @field_validator("pipelines_file")
    @classmethod
    def _readable(cls, value: str) -> str:
        """Refuse to start with a table that is not valid."""
        try:
            read_catalog(Path(value) if value else BUILT_IN)
        except InvalidCatalogError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("argo_host", "kubeflow_host")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @property
    def pipelines_path(self) -> Path:
        """The file with the table."""
        return Path(self.pipelines_file) if self.pipelines_file else BUILT_IN
