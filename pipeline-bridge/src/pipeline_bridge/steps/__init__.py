"""The steps of the pipelines that run without a workflow engine: each a program of its own."""

from pipeline_bridge.steps.lines import Assignment, Failure, Made, Progress, StepReport
from pipeline_bridge.steps.step import Step

__all__ = ["Assignment", "Failure", "Made", "Progress", "Step", "StepReport"]
