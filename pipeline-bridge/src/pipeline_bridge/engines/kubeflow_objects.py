"""Runs as the API of Kubeflow Pipelines (v2beta1) writes them, as far as the bridge reads them."""

from __future__ import annotations

from typing import Final

import msgspec

from handler_base.messages.domain import RunState
from pipeline_bridge.engines.engine import StepChange, Update

__all__ = [
    "UNDER_WAY",
    "Experiment",
    "ExperimentList",
    "KubeflowPipeline",
    "KubeflowRun",
    "RunList",
    "Version",
    "VersionList",
    "update_of",
]

UNDER_WAY: Final = ("PENDING", "RUNNING", "CANCELING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED")
"""The states from which a run goes on."""

_STATES: Final = {
    "RUNNING": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "SKIPPED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.FAILED,
}
_DONE: Final = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
_FAILED: Final = frozenset({"FAILED", "CANCELED"})


class _Task(msgspec.Struct):
    display_name: str = ""
    state: str = ""
    task_id: str = ""
    child_tasks: list[object] | None = None


class _Details(msgspec.Struct):
    task_details: list[_Task] | None = None


class _Moment(msgspec.Struct):
    state: str = ""


class KubeflowRun(msgspec.Struct):
    """A run."""

    run_id: str = ""
    display_name: str = ""
    state: str = ""
    created_at: str = ""
    run_details: _Details | None = None
    state_history: list[_Moment] | None = None


class RunList(msgspec.Struct):
    """A page of runs."""

    runs: list[KubeflowRun] | None = None
    next_page_token: str = ""


class Experiment(msgspec.Struct):
    """An experiment."""

    experiment_id: str = ""
    display_name: str = ""
    storage_state: str = ""


class ExperimentList(msgspec.Struct):
    """A page of experiments."""

    experiments: list[Experiment] | None = None
    next_page_token: str = ""


class KubeflowPipeline(msgspec.Struct):
    """A pipeline."""

    pipeline_id: str = ""


class Version(msgspec.Struct):
    """A version of a pipeline."""

    pipeline_version_id: str = ""
    display_name: str = ""
    name: str = ""


class VersionList(msgspec.Struct):
    """A page of versions."""

    pipeline_versions: list[Version] | None = None
    next_page_token: str = ""


def update_of(run: KubeflowRun, phases: dict[str, str]) -> Update:
    """Return what is new of a run.

    Args:
        run: As it is now.
        phases: The states of its tasks when it was last looked at; brought up to date.
    """
    state = _STATES.get(run.state, RunState.PENDING)
    tasks = [task for task in (run.run_details.task_details if run.run_details else None) or () if _is_step(task)]
    steps = []
    for task in tasks:
        before = phases.get(task.display_name, "")
        if task.state == before:
            continue
        phases[task.display_name] = task.state
        if task.state in _DONE:
            steps.append(StepChange(task.display_name, done=True, failed=task.state in _FAILED))
        elif not before:
            steps.append(StepChange(task.display_name))
    done = sum(task.state in _DONE for task in tasks)
    return Update(
        state=state,
        progress=f"{done}/{len(tasks)}" if tasks else "",
        error=_error(run, tasks) if state is RunState.FAILED else "",
        steps=tuple(steps),
        ran=state is not RunState.FAILED
        or bool(tasks)
        or any(past.state == "RUNNING" for past in run.state_history or ()),
    )


def _is_step(task: _Task) -> bool:
    """Whether a task does something: the driver's own, and the root, hold the others together."""
    return task.display_name not in {"", "root", "executor"} and not task.display_name.endswith("-driver")


def _error(run: KubeflowRun, tasks: list[_Task]) -> str:
    if run.state == "CANCELED":
        return "The run was stopped in Kubeflow."
    failed = sorted({task.display_name for task in tasks if task.state == "FAILED"})
    return f"The run failed at: {', '.join(failed)[:300]}." if failed else "The run failed."
