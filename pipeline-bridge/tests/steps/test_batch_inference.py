"""Questions from a file, asked over a real nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from handler_base.errors import InvalidRequestError, OverloadedError, UpstreamError, UpstreamUnavailableError
from handler_base.handler import Context
from handler_base.messages import ChatRequest, ChatResponse, DocumentSource
from handler_base.testing.nats_server import free_port
from handler_base.testing.probe import Running, StartService, starter
from pipeline_bridge.steps import batch_inference

from .conftest import RunStep, StepProcess


@pytest.fixture
async def start(folder: Path, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartService]:
    monkeypatch.setenv("NATS_URL", nats_url)
    async with starter(nats_url) as start_one:
        yield start_one


def put(folder: Path, *lines: Any) -> str:  # noqa: ANN401 - a line may be any JSON
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return f"file://{folder}/questions.jsonl"


def answers(folder: Path, run_id: str = "run") -> list[dict[str, Any]]:
    text = (folder.parent / "artifacts" / run_id / "answers.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def test_answers_come_in_the_order_of_the_questions(run_step: RunStep, start: StartService, folder: Path) -> None:
    async def answer(request: ChatRequest, _: Context) -> ChatResponse:
        source = DocumentSource(text="t", title="Ferry", source_url="docs/ferry.md", score=0.5)
        return ChatResponse(response=request.message.upper(), sources=[source], model="m")

    probe = await start(answer)
    url = put(folder, "one", {"id": "b", "question": "two", "collection": "other"}, "three")
    told = await run_step(batch_inference.run, "run", questions_url=url, collection="mine", top_k="2")
    assert told.progress[-1] == (3, 3)
    assert told.message.startswith("3 of 3 questions answered; see ")
    found = answers(folder)
    assert [(one["id"], one["answer"]) for one in found] == [("1", "ONE"), ("b", "TWO"), ("3", "THREE")]
    assert found[0]["sources"] == [{"title": "Ferry", "source_url": "docs/ferry.md", "score": 0.5}]
    asked = sorted((request.message, request.collection, request.top_k) for request, _ in probe.handler.calls)
    assert asked == [("one", "mine", 2), ("three", "mine", 2), ("two", "other", 2)]


async def test_killed_half_way_it_asks_only_what_is_not_answered(start: StartService, folder: Path) -> None:
    async def slow(request: ChatRequest, _: Context) -> ChatResponse:
        await asyncio.sleep(0.05)
        return ChatResponse(response=request.message)

    probe: Running = await start(slow)
    parameters = {"questions-url": put(folder, *(f"question {number}" for number in range(30))), "concurrency": 2}
    process = StepProcess("batch_inference", parameters, {}, "run")
    await process.start()
    await process.reaches(6)
    await process.kill()
    done, _ = process.told.progress[-1]
    # What a crash in the middle of a write leaves behind.
    with (folder.parent / "artifacts" / "run" / "answers.jsonl.part").open("ab") as file:
        file.write(b'{"id":"30","question":"question 29","answer":"ques')
    before = len(probe.handler.calls)
    again = StepProcess("batch_inference", parameters, {}, "run")
    await again.start()
    assert await again.end() == 0, again.errors
    assert len(probe.handler.calls) - before <= 30 - done
    assert [one["answer"] for one in answers(folder)] == [f"question {number}" for number in range(30)]


async def test_a_busy_fleet_is_asked_again(run_step: RunStep, start: StartService, folder: Path) -> None:
    busy = ["first", "second"]

    async def answer(request: ChatRequest, _: Context) -> ChatResponse:
        if busy:
            busy.pop()
            raise OverloadedError
        return ChatResponse(response=request.message)

    await start(answer)
    told = await run_step(batch_inference.run, "run", questions_url=put(folder, "one"))
    assert told.message.startswith("1 of 1 questions answered")


async def test_a_question_that_is_refused_is_told_and_the_others_are_answered(
    run_step: RunStep, start: StartService, folder: Path
) -> None:
    async def answer(request: ChatRequest, _: Context) -> ChatResponse:
        if request.message == "bad":
            raise InvalidRequestError("Not that.")
        return ChatResponse(response=request.message)

    await start(answer)
    url = put(folder, "good", "bad")
    with pytest.raises(UpstreamError, match="1 of 2 questions answered"):
        await run_step(batch_inference.run, "run", questions_url=url)
    assert answers(folder)[1] == {
        "id": "2",
        "question": "bad",
        "error": "Not that.",
        "error_type": "invalid_request",
    }
    told = await run_step(batch_inference.run, "run", questions_url=url, max_failures=1)
    assert told.message.startswith("1 of 2 questions answered")


async def test_nats_is_away(run_step: RunStep, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", f"nats://127.0.0.1:{free_port()}")
    monkeypatch.setattr(batch_inference, "CONNECT_TIMEOUT", batch_inference.CONNECT_TIMEOUT / 20)
    with pytest.raises(UpstreamUnavailableError):
        await run_step(batch_inference.run, "run", questions_url=put(folder, "one"))


async def test_what_are_no_questions(run_step: RunStep, folder: Path) -> None:
    (folder / "questions.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequestError):
        await run_step(batch_inference.run, "run", questions_url=f"file://{folder}/questions.jsonl")
