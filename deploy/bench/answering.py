"""Scenarios that compare CPU time a request: a RAG answer, a streamed answer, an echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.bench.compare import Contestant, Outcome, interleave
from deploy.bench.environment import FASTSTREAM_HINT, GO_HINT, Environment
from deploy.bench.load import Plan
from deploy.bench.measure import Spread, percentile, ratios
from deploy.bench.result import Bar, Result, Row
from deploy.bench.upstreams import Script

__all__ = ["CHAT_SUBJECT", "add_rows", "burst", "echo", "rag", "stream"]

CHAT_SUBJECT: Final = "ai.chat.request"
_TOKEN_GAP: Final = 0.005


async def rag(environment: Environment) -> Result:
    """A question answered in one piece after four upstream calls."""
    result = Result("rag", "RAG request, 4 upstream calls, 1024-dimension embedding, 64 in flight")
    plan = Plan("rag", total=600 if environment.quick else 2000, in_flight=64)
    return await _against_go(environment, result, plan, {"go": (), "go, vector as RawMessage": ("-raw-vectors",)})


async def stream(environment: Environment) -> Result:
    """A streamed answer, one token every 5 ms."""
    result = Result("stream", "Streamed answer, 64 tokens 5 ms apart, 32 in flight")
    await environment.script(Script(gap=_TOKEN_GAP))
    plan = Plan("stream", total=200 if environment.quick else 600, in_flight=32)
    return await _against_go(environment, result, plan, {"go": (), "go, tokens gathered": ("-gather=25ms",)})


async def burst(environment: Environment) -> Result:
    """A streamed answer whose tokens come all at once."""
    result = Result("burst", "Streamed answer, 64 tokens in one burst, 32 in flight")
    plan = Plan("stream", total=400 if environment.quick else 1500, in_flight=32)
    return await _against_go(environment, result, plan, {"go": (), "go, tokens gathered": ("-gather=25ms",)})


async def _against_go(
    environment: Environment, result: Result, plan: Plan, peers: Mapping[str, Sequence[str]]
) -> Result:
    """Compare the chat handler with the Go peer; the first peer is the one the bar names."""
    service, _ = await environment.service("chat_handler")
    contestants = {"ours": Contestant(service, CHAT_SUBJECT)}
    for name, flags in peers.items():
        peer = await environment.go_peer(plan.shape, *flags)
        if peer is not None:
            contestants[name] = Contestant(*peer)
    outcomes = dict(zip(contestants, await interleave(environment, list(contestants.values()), plan), strict=True))
    add_rows(result, outcomes)
    if "go" in outcomes:
        ratio = ratios(outcomes["ours"].costs, outcomes["go"].costs)
        result.bars.append(Bar(f"{result.name}: CPU a request, ours / Go", ratio, 1.0))
    else:
        result.unmeasured = GO_HINT
    return result


async def echo(environment: Environment) -> Result:
    """Request-reply with validation, traces and metrics."""
    result = Result("echo", "Echo request-reply, 32 callers, validation, traces and metrics on")
    service, _ = await environment.service("deploy.bench.echo_service")
    contestants = {"ours": Contestant(service, CHAT_SUBJECT)}
    faststream = await environment.faststream_peer()
    if faststream is not None:
        contestants["faststream"] = Contestant(faststream[0], faststream[1], json=True)
    go = await environment.go_peer("echo")
    if go is not None:
        contestants["go, nothing on"] = Contestant(*go)
    plan = Plan("echo", total=2500 if environment.quick else 10_000, in_flight=32)
    outcomes = dict(zip(contestants, await interleave(environment, list(contestants.values()), plan), strict=True))
    add_rows(result, outcomes)
    if faststream is None:
        result.unmeasured = FASTSTREAM_HINT
    else:
        ratio = ratios(outcomes["faststream"].costs, outcomes["ours"].costs)
        result.bars.append(Bar("echo: CPU a request, FastStream / ours", ratio, 2.5, "higher"))
    result.notes.append("Throughput is bounded by the one caller process for all but FastStream.")
    return result


def add_rows(result: Result, outcomes: Mapping[str, Outcome]) -> None:
    """Add a line for each contestant: cost, rate, latency, and what was wrong."""
    for name, outcome in outcomes.items():
        latencies = [answer.finished - answer.started for round_ in outcome.traffic for answer in round_.answers]
        figures = {
            "CPU µs/request": Spread.of([cost.cpu_us for cost in outcome.costs]).text(0),
            "requests/s": Spread.of([cost.rate for cost in outcome.costs]).text(0),
            "p50 ms": f"{percentile(latencies, 0.5) * 1e3:.1f}",
            "p95 ms": f"{percentile(latencies, 0.95) * 1e3:.1f}",
        }
        chunks = [answer.chunks for round_ in outcome.traffic for answer in round_.answers]
        if any(chunks):
            figures["chunks/answer"] = f"{sum(chunks) / len(chunks):.1f}"
        figures["wrong answers"] = str(sum(outcome.failures.values()))
        result.rows.append(Row(name, figures))
        for reason, number in outcome.failures.items():
            result.failures[f"{name}: {reason}"] = number
