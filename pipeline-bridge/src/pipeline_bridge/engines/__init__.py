"""The workflow engines, behind one small interface."""

from pipeline_bridge.engines.engine import Engine, Produced, RunRef, RunRequest, StepChange, Update

__all__ = ["Engine", "Produced", "RunRef", "RunRequest", "StepChange", "Update"]
