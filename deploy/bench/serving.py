"""Scenarios about one service process: delay of its own, many open answers, start and memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

from deploy.bench.environment import GO_HINT, Environment
from deploy.bench.load import Answer, Plan, Traffic
from deploy.bench.measure import Spread, percentile
from deploy.bench.process import Worker
from deploy.bench.result import Bar, Result, Row
from deploy.bench.upstreams import Script

__all__ = ["concurrent", "overhead", "start"]

_CHAT_SUBJECT: Final = "ai.chat.request"
_IMAGES: Final = {
    "chat-handler": {},
    "voice-assistant": {},
    "stt-module": {"VAD": "webrtc"},
    "tts-module": {},
    "pipeline-bridge": {},
    "stt-module-full": {"VAD": "silero"},
}
"""The images and what they set. The last one is without a bar: it alone runs a model, and onnxruntime with it."""

_MOST_MEGABYTES: Final = 65.0

_UNWANTED: Final = ("pandas", "cygrpc")
_OPEN_ANSWERS: Final = 500
_OVERHEAD: Final = Script(embeddings=0.01, search=0.01, rerank=0.01, first_token=0.1, gap=0.02, tokens=64, timed=True)
_LONG_ANSWER: Final = Script(first_token=0.05, gap=0.05, tokens=100)


async def overhead(environment: Environment) -> Result:
    """Time a question spends in the fleet before its first token, at 50 in flight."""
    result = Result("overhead", "First token at 50 questions in flight: time in the fleet, not in upstreams")
    service, _ = await environment.service("chat_handler")
    contestants: dict[str, tuple[Worker, str]] = {"ours": (service, _CHAT_SUBJECT)}
    go = await environment.go_peer("stream")
    if go is not None:
        contestants["go"] = go
    else:
        result.notes.append(f"Without the Go peer to compare with. {GO_HINT}")
    lasts = _OVERHEAD.until_first_token + _OVERHEAD.tokens * _OVERHEAD.gap
    plan = Plan("stream", total=200 if environment.quick else 500, in_flight=50, spread_start=timedelta(seconds=lasts))
    own: dict[str, list[list[float]]] = {name: [] for name in contestants}
    for measured in [False] + [True] * min(environment.rounds, 3):
        for name, (_, subject) in contestants.items():
            await environment.script(_OVERHEAD)
            traffic = await environment.load.run(subject, plan if measured else replace(plan, total=50))
            if measured:
                own[name].append(_own_ms(traffic, (await environment.tally()).spent))
                _count_failures(result, name, traffic)
    for name, rounds in own.items():
        p50, p95 = (Spread.of([percentile(values, share) for values in rounds]) for share in (0.5, 0.95))
        result.rows.append(Row(name, {"p50 ms": p50.text(), "p95 ms": p95.text()}))
        if name == "ours":
            result.bars.append(Bar("overhead: first token p50", p50, 5.0, unit="ms"))
            result.bars.append(Bar("overhead: first token p95", p95, 15.0, unit="ms"))
    result.notes.append(
        "From publish to first piece at the caller, less what the upstreams measured that they held each question; "
        "both NATS hops, and the caller's own delay, are in it."
    )
    return result


def _own_ms(traffic: Traffic, spent: dict[int, float]) -> list[float]:
    """Milliseconds to the first token that no upstream accounts for."""

    def own(answer: Answer) -> float:
        held = spent.get(answer.number, _OVERHEAD.until_first_token)
        return (answer.first - answer.started - held) * 1e3

    return [own(answer) for answer in traffic.answers if not answer.failure]


async def concurrent(environment: Environment) -> Result:
    """500 answers of 5 s at once on one replica."""
    result = Result("concurrent", f"{_OPEN_ANSWERS} answers of 5 s at once on one replica")
    service, _ = await environment.service("chat_handler", MAX_CONCURRENCY=str(_OPEN_ANSWERS))
    await environment.load.run(_CHAT_SUBJECT, Plan("stream", total=100, in_flight=20))
    await environment.script(_LONG_ANSWER)
    plan = Plan(
        "stream",
        total=_OPEN_ANSWERS,
        in_flight=_OPEN_ANSWERS,
        tokens=_LONG_ANSWER.tokens,
        limit=timedelta(seconds=60),
    )
    peaks: list[float] = []
    before, cpu_before = service.rss(), service.cpu_seconds()
    for _ in range(1 if environment.quick else 2):
        sampler = asyncio.create_task(_peak(service))
        traffic = await environment.load.run(_CHAT_SUBJECT, plan)
        sampler.cancel()
        await asyncio.wait([sampler])
        peak = max(sampler.result() if not sampler.cancelled() else 0, service.rss())
        peaks.append((peak - before) / _OPEN_ANSWERS / 1024)
        _count_failures(result, "ours", traffic)
    cpu = (service.cpu_seconds() - cpu_before) / len(peaks) / _OPEN_ANSWERS * 1e3
    memory = Spread.of(peaks)
    figures = {
        "KB/open answer": memory.text(1),
        "RSS before, MB": f"{before / 2**20:.1f}",
        "CPU ms/answer": f"{cpu:.1f}",
    }
    result.rows.append(Row("ours", figures))
    failed = Spread.of([float(sum(result.failures.values()))])
    result.bars.append(Bar("concurrent: memory an open answer", memory, 100.0, unit="KB"))
    result.notes.append(f"Answers that failed: {failed.text(0)} of {_OPEN_ANSWERS * len(peaks)}.")
    return result


async def _peak(worker: Worker) -> int:
    """Return the largest resident memory seen until cancelled."""
    largest = 0
    try:
        while True:
            largest = max(largest, worker.rss())
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return largest


def _count_failures(result: Result, name: str, traffic: Traffic) -> None:
    for reason, number in traffic.failures.items():
        result.failures[f"{name}: {reason}"] = result.failures.get(f"{name}: {reason}", 0) + number


async def start(environment: Environment) -> Result:
    """Start to ready, and what the process weighs then."""
    result = Result("start", "Start to ready; memory when ready; neither pandas nor grpc loaded")
    for image, variables in _IMAGES.items():
        module = image.removesuffix("-full").replace("-", "_")
        seconds: list[float] = []
        megabytes: list[float] = []
        # The first start also compiles the bytecode, which an image has done already.
        for attempt in range(3 if environment.quick else 8):
            started = time.perf_counter()
            worker, port = await environment.service(module, image=image, wait=False, **variables)
            await worker.ready(port, interval=0.005)
            took = time.perf_counter() - started
            await asyncio.sleep(0.5)
            if attempt:
                seconds.append(took)
                megabytes.append(worker.rss() / 2**20)
            for name in worker.has_mapped(*_UNWANTED):
                result.failures[f"{image}: {name} is loaded"] = 1
            await environment.stop(worker)
        ready, memory = Spread.of(seconds), Spread.of(megabytes)
        result.rows.append(Row(image, {"start to ready s": ready.text(), "RSS MB": memory.text(1)}))
        if not image.endswith("-full"):
            result.bars.append(Bar(f"start: {image} ready", ready, 1.0, unit="s"))
            result.bars.append(Bar(f"start: {image} memory", memory, _MOST_MEGABYTES, unit="MB"))
    return result
