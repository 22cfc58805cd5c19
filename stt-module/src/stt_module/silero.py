"""Silero's detector: one model for all sessions of a process, on a thread of its own, many sessions in one run.

The model's file comes with the package ``silero-vad``, which is never imported (it would want torch).
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from handler_base.errors import InternalError
from stt_module.energy import NoiseGate
from stt_module.windows import RATE, WINDOW_SAMPLES

__all__ = ["SileroDetector", "SileroModel", "SileroStream", "find_model"]

_CONTEXT: Final = 64
_STATE: Final = (2, 128)
Floats = npt.NDArray[np.float32]


def find_model() -> Path:
    """Return where the model's file is.

    Raises:
        InternalError: The packages are not installed.
    """
    package = importlib.util.find_spec("silero_vad")
    if package is None or not package.submodule_search_locations or importlib.util.find_spec("onnxruntime") is None:
        raise InternalError("The silero detector takes the packages silero-vad and onnxruntime: stt-module[silero].")
    return Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


class Memory:
    """What the model remembers of one session."""

    __slots__ = ("context", "state")

    def __init__(self) -> None:
        self.context: Floats = np.zeros(_CONTEXT, np.float32)
        self.state: Floats = np.zeros(_STATE, np.float32)


class SileroModel:
    """The model.

    Args:
        path: Its ONNX file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415  # an optional package

        options = onnxruntime.SessionOptions()
        # It is small: more threads would only wait for each other, and spin while they do.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._rate = np.array(RATE, np.int64)

    def run(self, windows: Sequence[bytes], memories: Sequence[Memory]) -> list[float]:
        """Score one window of each of several sessions."""
        samples = np.frombuffer(b"".join(windows), "<i2").reshape(-1, WINDOW_SAMPLES)
        entry = np.empty((len(windows), _CONTEXT + WINDOW_SAMPLES), np.float32)
        np.multiply(samples, np.float32(1 / 32768), out=entry[:, _CONTEXT:])
        for row, memory in enumerate(memories):
            entry[row, :_CONTEXT] = memory.context
        state = np.stack([memory.state for memory in memories], axis=1)
        scores, states = self._session.run(None, {"input": entry, "state": state, "sr": self._rate})
        for row, memory in enumerate(memories):
            # Copies: a view would keep the whole batch in memory.
            memory.context, memory.state = entry[row, -_CONTEXT:].copy(), states[:, row].copy()
        return [float(score) for score in scores[:, 0]]


@dataclass(eq=False, slots=True)
class _Job:
    windows: Sequence[bytes]
    memory: Memory
    scores: list[float]
    done: asyncio.Future[None]


class SileroStream:
    """A session's voice, told by the shared model."""

    __slots__ = ("_detector", "_gate", "_memory")

    def __init__(self, detector: SileroDetector) -> None:
        self._detector = detector
        self._gate = NoiseGate()
        # Kept while the gate is closed: a model that begins afresh has to learn the noise first.
        self._memory = Memory()

    async def score(self, windows: Sequence[bytes]) -> list[float]:
        """See `VoiceStream`."""
        places = [place for place, window in enumerate(windows) if self._gate.passes(window)]
        scores = [0.0] * len(windows)
        if places:
            found = await self._detector.scores([windows[place] for place in places], self._memory)
            for place, score in zip(places, found, strict=True):
                scores[place] = score
        return scores


class SileroDetector:
    """Runs the model for all sessions.

    Args:
        gather: How long the first window of a run waits for those of other sessions.
        most: Sessions in one run; more gain nothing.
        path: The model's file; the installed package's by default.

    Raises:
        InternalError: The packages it takes are not installed.
    """

    def __init__(
        self, *, gather: timedelta = timedelta(milliseconds=4), most: int = 64, path: Path | None = None
    ) -> None:
        self._model = SileroModel(path or find_model())
        self._gather = gather.total_seconds()
        self._most = most
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="silero")
        self._waiting: list[_Job] = []
        self._running: asyncio.Task[None] | None = None

    def stream(self) -> SileroStream:
        """See `Detector`."""
        return SileroStream(self)

    def close(self) -> None:
        """End the thread; what waits fails."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        _fail(self._waiting, InternalError("The detector is closed."))
        self._waiting = []

    async def scores(self, windows: Sequence[bytes], memory: Memory) -> list[float]:
        """Score the next windows of one session, together with those of others.

        Raises:
            InternalError: The model failed.
        """
        job = _Job(windows, memory, [], asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await job.done
        return job.scores

    async def _run(self) -> None:
        """Work until nothing waits; there is no task while nobody speaks."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._gather and len(self._waiting) < self._most:
                await asyncio.sleep(self._gather)
            jobs, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                await loop.run_in_executor(self._pool, self._work, jobs)
            except Exception as error:  # noqa: BLE001  # whatever it was, each session hears of it and none hangs
                _fail(jobs, error)
            _finish(jobs)
        self._running = None

    def _work(self, jobs: Sequence[_Job]) -> None:
        """On the thread: the first window of every session, then the second, and so on."""
        for place in range(max(len(job.windows) for job in jobs)):
            having = [job for job in jobs if place < len(job.windows)]
            found = self._model.run([job.windows[place] for job in having], [job.memory for job in having])
            for job, score in zip(having, found, strict=True):
                job.scores.append(score)


def _finish(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(None)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.done.done():
            failure = InternalError()
            failure.__cause__ = error
            job.done.set_exception(failure)
