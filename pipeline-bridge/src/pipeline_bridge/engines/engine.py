"""What the bridge asks of a workflow engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from handler_base.messages.domain import RunState
from pipeline_bridge.catalog import EngineName, Pipeline, Value

__all__ = ["Engine", "Produced", "RunRef", "RunRequest", "StepChange", "Update"]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that is to be started.

    Attributes:
        request_id: Of the trigger; a single subject token. An engine starts one run for it however often it is asked.
        pipeline: What is to run.
        parameters: Checked and typed, by the names of the definition.
    """

    request_id: str
    pipeline: Pipeline
    parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Forty hexadecimal digits that stand for the request where its id would not fit, or may not go."""
        return hashlib.sha256(self.request_id.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run that was started.

    Attributes:
        run_id: As the engine names it.
        request: What it was started from.
    """

    run_id: str
    request: RunRequest


@dataclass(frozen=True, slots=True)
class Produced:
    """Something a run made.

    Attributes:
        name: What it is called.
        type: `model`, `dataset`, `metrics` or `logs`.
        uri: ``s3://bucket/key``.
    """

    name: str
    type: str
    uri: str


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step of a run that began, or ended.

    Attributes:
        name: Of the step, such as the node of a workflow.
        done: Whether it ended.
        failed: Whether it ended without success.
    """

    name: str
    done: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What is new of a run.

    Attributes:
        state: Where it stands now.
        progress: Parts that are done, of all, such as ``12/300``; empty where the engine does not say.
        message: A line for people, safe to show; empty: none.
        error: Why it failed, safe to show; empty unless `state` is failed.
        artifacts: Everything known to have been made so far.
        steps: What began or ended since the last update.
        ran: Whether it is, or was, more than waiting; False for one that ended without ever having begun.
    """

    state: RunState
    progress: str = ""
    message: str = ""
    error: str = ""
    artifacts: tuple[Produced, ...] = ()
    steps: tuple[StepChange, ...] = ()
    ran: bool = True


class Engine(Protocol):
    """Starts, follows and stops runs. One instance serves all runs of a replica."""

    @property
    def name(self) -> EngineName:
        """Which it is."""
        ...

    @property
    def available(self) -> bool:
        """Whether it answered when it was last asked."""
        ...

    async def open(self) -> None:
        """Open connections; an engine that is away must not fail it."""
        ...

    async def close(self) -> None:
        """Let go; runs go on where the engine is another program, and are stopped to be run again where it is not."""
        ...

    async def submit(self, request: RunRequest) -> str:
        """Start a run, or find the one that was started for this request before.

        Returns:
            The engine's id of the run.

        Raises:
            UpstreamUnavailableError: The engine is away, or too busy: try again later.
            FleetError: It refuses; trying again would not help.
        """
        ...

    def follow(self, run: RunRef) -> AsyncGenerator[Update, None]:
        """Yield where a run stands, now and whenever it changes, and end after its final state.

        It bridges outages of the engine by itself. A run that is gone is one that failed.
        """
        ...

    async def cancel(self, run: RunRef) -> None:
        """Stop a run; `follow` tells when it has ended. One that is over or gone is left as it is.

        Raises:
            UpstreamUnavailableError: The engine is away: try again later.
            FleetError: It refuses.
        """
        ...
