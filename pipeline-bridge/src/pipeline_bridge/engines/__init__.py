"""The workflow engines, behind one small interface."""

from pipeline_bridge.engines.argo import ArgoEngine
from pipeline_bridge.engines.engine import Engine, Produced, RunRef, RunRequest, StepChange, Update
from pipeline_bridge.engines.http import Access
from pipeline_bridge.engines.kubeflow import KubeflowEngine
from pipeline_bridge.engines.local import LocalEngine

__all__ = [
    "Access",
    "ArgoEngine",
    "Engine",
    "KubeflowEngine",
    "LocalEngine",
    "Produced",
    "RunRef",
    "RunRequest",
    "StepChange",
    "Update",
]
