"""Fakes of the workflow engines' servers, on sockets: for tests and the bench."""

from pipeline_bridge.testing.argo_server import FakeArgo
from pipeline_bridge.testing.caller import PipelineCaller, pipeline_caller
from pipeline_bridge.testing.engine_server import Failure
from pipeline_bridge.testing.kubeflow_server import FakeKubeflow

__all__ = ["Failure", "FakeArgo", "FakeKubeflow", "PipelineCaller", "pipeline_caller"]
