"""An evaluation of a small collection in a real Milvus Lite."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_base.errors import NotFoundError, UpstreamError
from handler_base.testing.inference import FakeLLM, FakeReranker
from pipeline_bridge.steps import document_ingestion, model_evaluation

from .conftest import RunStep

DOCUMENTS = {
    "ferry.md": "# Ferry\n\nThe first ferry leaves the harbour at six.\n",
    "light.md": "# Light\n\nThe lighthouse was built in 1871.\n",
    "bees.md": "# Bees\n\nBees make honey from heather.\n",
}
QUESTIONS = [
    {
        "id": "q1",
        "kind": "direct",
        "question": "when does the first ferry leave the harbour",
        "gold": [{"document": "ferry.md", "snippet": "leaves the harbour at six"}],
        "facts": ["at six"],
    },
    {"id": "q2", "kind": "unanswerable", "question": "what is the capital of Mongolia", "gold": [], "facts": []},
]


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with FakeReranker() as reranker, FakeLLM() as llm:
        monkeypatch.setenv("RERANKER_URL", reranker.url)
        monkeypatch.setenv("VLLM_URL", llm.url)
        yield


@pytest.fixture
async def questions(run_step: RunStep, folder: Path, collection: str) -> str:
    """The URL of the questions; the documents are in the collection."""
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection)
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), "utf-8")
    return f"file://{folder}/questions.jsonl"


async def test_every_way_of_searching_and_the_answers_are_measured(
    run_step: RunStep, questions: str, collection: str, models: None, folder: Path
) -> None:
    told = await run_step(model_evaluation.run, "run", questions_url=questions, collection=collection)
    assert told.progress[-1] == (6, 6)
    assert told.message.startswith("nDCG@10 1.000 over 2 questions, ")
    metrics = json.loads((folder.parent / "artifacts" / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["collection"] == collection
    assert {mode: scores["ndcg_at_10"] for mode, scores in metrics["search"].items()} == dict.fromkeys(
        ("dense", "BM25", "hybrid", "hybrid + rerank"), 1.0
    )
    assert metrics["answers"]["asked"] == 2
    assert set(metrics["answers"]["by_kind"]) == {"direct", "unanswerable"}


async def test_a_run_that_is_not_good_enough_fails(
    run_step: RunStep, questions: str, collection: str, models: None
) -> None:
    with pytest.raises(UpstreamError, match=r"At least 1\.1 was asked for"):
        await run_step(model_evaluation.run, "run", questions_url=questions, collection=collection, min_ndcg="1.1")


async def test_a_collection_that_is_not_there(run_step: RunStep, questions: str, models: None) -> None:
    with pytest.raises(NotFoundError):
        await run_step(model_evaluation.run, "run", questions_url=questions, collection="nothing")
