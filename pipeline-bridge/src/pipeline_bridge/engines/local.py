"""The local engine: the pipelines' own steps, each a process of its own, on the bridge's machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

from handler_base.errors import InvalidRequestError
from handler_base.messages.domain import RunState, check_artifact_uri
from pipeline_bridge.catalog import EngineName
from pipeline_bridge.engines.engine import Produced, RunRef, RunRequest, StepChange, Update
from pipeline_bridge.steps.lines import MOST_LINE_BYTES, Assignment, Failure, Made, Progress, Report, StepReport

__all__ = ["LocalEngine"]

log = logging.getLogger(__name__)

_STOP_SECONDS: Final = 10.0
_ATTEMPTS: Final = 3
"""At a step that is killed by a signal; one that says why it failed is not tried again."""

_NOT_FOR_STEPS: Final = ("ARGO_", "KUBEFLOW_", "HEALTH_", "PIPELINE")
"""Settings of the bridge alone: a step has no business with them. NATS it may need: batches ask the fleet there."""

_decoder: Final = msgspec.json.Decoder(Report)


class LocalEngine:
    """Runs steps as processes. A run whose bridge died is run again from its start by whoever takes it over.

    Args:
        most: Runs at the same time; others are pending.
        environment: Of the steps; without what is the bridge's own.
    """

    name: Final = EngineName.LOCAL

    def __init__(self, most: int, environment: Mapping[str, str]) -> None:
        self._slots = asyncio.Semaphore(most)
        self._environment = {name: value for name, value in environment.items() if not name.startswith(_NOT_FOR_STEPS)}
        self._cancelled: dict[str, asyncio.Event] = {}

    @property
    def available(self) -> bool:
        """It is here."""
        return True

    async def open(self) -> None:
        """Nothing has to be opened."""

    async def close(self) -> None:
        """Nothing is left: who follows a run ends its process."""

    async def submit(self, request: RunRequest) -> str:
        """Name the run; it begins when it is followed.

        Raises:
            InvalidRequestError: The pipeline has no steps to run here.
        """
        if not request.pipeline.steps:
            raise InvalidRequestError("The pipeline does not run on this machine.")
        return f"local-{request.digest[:20]}"

    async def cancel(self, run: RunRef) -> None:
        """End the run's process."""
        self._stopper(run.run_id).set()

    async def follow(self, run: RunRef) -> AsyncGenerator[Update, None]:
        """Run the steps, one after the other."""
        stop = self._stopper(run.run_id)
        try:
            yield Update(RunState.PENDING)
            async with _slot(self._slots, stop) as began:
                if not began:
                    yield Update(RunState.FAILED, error="The run was cancelled.", ran=False)
                    return
                yield Update(RunState.RUNNING)
                view = _View(run)
                for module in run.request.pipeline.steps:
                    name = module.rpartition(".")[2]
                    yield view.update(StepChange(name))
                    async with contextlib.aclosing(self._step(module, view, stop)) as updates:
                        async for update in updates:
                            yield update
                    yield view.update(StepChange(name, done=True, failed=view.failed))
                    if view.failed:
                        yield view.update(state=RunState.FAILED)
                        return
                yield view.update(state=RunState.SUCCEEDED)
        finally:
            self._cancelled.pop(run.run_id, None)

    async def _step(self, module: str, view: _View, stop: asyncio.Event) -> AsyncGenerator[Update, None]:
        """Run a step; one that was killed, as the system does when memory runs out, goes on where it was."""
        for attempt in range(1, _ATTEMPTS + 1):
            async with contextlib.aclosing(self._attempt(module, view, stop)) as updates:
                async for update in updates:
                    yield update
            if not view.killed or attempt == _ATTEMPTS:
                return
            log.warning("a step was killed; it is started again", extra={"run_id": view.run.run_id, "step": module})

    async def _attempt(self, module: str, view: _View, stop: asyncio.Event) -> AsyncGenerator[Update, None]:
        process = await self._started(module, view.run)
        logs = asyncio.get_running_loop().create_task(_log(process, view.run.run_id, module))
        stopping = asyncio.get_running_loop().create_task(_stop(process, stop))
        try:
            async for line in _lines(process):
                changed = view.read(line)
                if changed is not None:
                    yield changed
            status = await process.wait()
        finally:
            stopping.cancel()
            await _end(process)
            await logs
        view.killed = status < 0 and not stop.is_set()
        if stop.is_set():
            view.failure = "The run was cancelled."
        elif status != 0:
            view.failure = view.failure or f"Step {module.rpartition('.')[2]} failed with status {status}."
        else:
            view.failure = ""

    async def _started(self, module: str, run: RunRef) -> asyncio.subprocess.Process:
        request = run.request
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pipeline_bridge.steps", module),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MOST_LINE_BYTES,
            start_new_session=os.name == "posix",
        )
        assert process.stdin is not None  # noqa: S101 - started with a pipe
        assignment = Assignment(request.request_id, run.run_id, request.pipeline.name, dict(request.parameters))
        process.stdin.write(msgspec.json.encode(assignment) + b"\n")
        with contextlib.suppress(ConnectionError):  # it ended at once: its status says so
            await process.stdin.drain()
        return process

    def _stopper(self, run_id: str) -> asyncio.Event:
        return self._cancelled.setdefault(run_id, asyncio.Event())


class _View:
    """What is known of a run from the reports of its steps.

    Args:
        run: The run.
    """

    def __init__(self, run: RunRef) -> None:
        self.run = run
        self.failure = ""
        self.killed = False
        self._progress = ""
        self._message = ""
        self._artifacts: tuple[Produced, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return bool(self.failure)

    def update(self, *steps: StepChange, state: RunState = RunState.RUNNING) -> Update:
        """Return what is known now."""
        error = self.failure if state is RunState.FAILED else ""
        return Update(state, self._progress, self._message, error, self._artifacts, steps)

    def read(self, line: bytes) -> Update | None:
        """Take a report in; return what is new."""
        try:
            report = _decoder.decode(line)
        except msgspec.MsgspecError:
            log.warning("a step said something that is no report", extra={"run_id": self.run.run_id})
            return None
        match report:
            case Progress(done=done, total=total, message=message):
                self._progress = f"{done}/{total}"
                self._message = message[:500]
                return self.update()
            case StepReport(name=name, done=done, failed=failed):
                return self.update(StepChange(name, done, failed))
            case Made(name=name, type=kind, uri=uri):
                return self._made(Produced(name, kind, uri))
            case Failure(message=message):
                self.failure = message[:500]
        return None

    def _made(self, made: Produced) -> Update | None:
        try:
            check_artifact_uri(made.uri)
        except InvalidRequestError:
            log.warning("an artifact has no valid address", extra={"run_id": self.run.run_id})
            return None
        self._artifacts += (made,)
        return self.update()


@contextlib.asynccontextmanager
async def _slot(slots: asyncio.Semaphore, stop: asyncio.Event) -> AsyncGenerator[bool, None]:
    """Wait for a slot, and hold it for the block; False when the run was stopped before."""
    taking = asyncio.get_running_loop().create_task(slots.acquire())
    stopped = asyncio.get_running_loop().create_task(stop.wait())
    try:
        await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        yield not stop.is_set()
    finally:
        stopped.cancel()
        if not taking.cancel() and not taking.cancelled():
            slots.release()


async def _lines(process: asyncio.subprocess.Process) -> AsyncGenerator[bytes, None]:
    """Yield what a process writes, line by line; one that is too long is passed over."""
    assert process.stdout is not None  # noqa: S101 - started with a pipe
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue
        if not line:
            return
        yield line


async def _log(process: asyncio.subprocess.Process, run_id: str, module: str) -> None:
    """Hand what a step writes for people to the log."""
    assert process.stderr is not None  # noqa: S101 - started with a pipe
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:
            continue
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip()
        log.info("step", extra={"run_id": run_id, "step": module, "text": text})


async def _stop(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await stop.wait()
    await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process with all it started: kindly, and after a while in the other way."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
