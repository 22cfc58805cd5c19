"""The sample corpus and its questions fit together, and the generated part is current."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deploy.local.eval.make_corpus import documents
from deploy.local.eval.pdf import render_pdf
from deploy.local.eval.questions import load_questions, relevant_chunks
from deploy.local.eval.report import Evaluation, bar_is_met, render
from deploy.local.inference.extractive import NOT_ANSWERED
from handler_base.rag import Chunk, Chunker, chunks_of, load_file
from pipeline_bridge.steps.measuring import AnswerScores, SearchRun
from pipeline_bridge.steps.questions import KINDS, Gold, Question

LOCAL = Path(__file__).parents[2] / "local"
CORPUS = LOCAL / "corpus"


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    paths = sorted(path for path in CORPUS.rglob("*") if path.is_file())
    loaded = [load_file(path, path.relative_to(CORPUS).as_posix()) for path in paths]
    return [chunk for document in loaded for chunk in chunks_of(document, Chunker())]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return load_questions(LOCAL / "eval" / "questions.jsonl")


def test_the_generated_documents_are_current() -> None:
    made = documents()

    assert len(made) > 40
    assert {name: (CORPUS / name).read_bytes() for name in made} == made


def test_the_corpus_is_as_large_as_promised(chunks: list[Chunk]) -> None:
    kinds = {Path(chunk.source_url).suffix for chunk in chunks}

    assert len(chunks) >= 200
    assert kinds == {".md", ".html", ".txt", ".pdf"}
    assert (CORPUS / "handbook" / "harbour-byelaws.pdf").stat().st_size < 50_000


def test_there_are_enough_questions_of_every_kind(questions: list[Question]) -> None:
    count = Counter(question.kind for question in questions)

    assert len(questions) >= 60
    assert set(count) == set(KINDS)
    assert count["unanswerable"] >= 10
    assert all(question.answerable == (question.kind != "unanswerable") for question in questions)
    assert len({question.id for question in questions}) == len(questions)


def test_every_question_has_its_answer_in_the_corpus(chunks: list[Chunk], questions: list[Question]) -> None:
    for question in questions:
        gains = relevant_chunks(question, chunks)
        texts = [chunk.text for chunk in chunks if f"{chunk.source_url}#{chunk.position}" in gains]
        plain = " ".join(" ".join(texts).split()).lower()
        assert bool(gains) == question.answerable
        assert len(gains) <= 5, f"{question.id}: the gold words do not tell passages apart"
        assert all(fact.lower() in plain for fact in question.facts), question.id


def test_a_question_that_no_longer_fits_is_named(chunks: list[Chunk]) -> None:
    stale = Question(id="q0", kind="direct", question="?", gold=(Gold("handbook/ferry.md", "no such words"),), facts=())

    with pytest.raises(ValueError, match="q0"):
        relevant_chunks(stale, chunks)


def test_the_pdf_writer_escapes_and_breaks_pages(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(render_pdf("\n".join(f"Line {number} (with a \\ in it)." for number in range(100)), title="T (1)"))
    document = load_file(path, "x.pdf")

    assert "Line 99 (with a \\ in it)." in document.text
    assert len(document.page_starts) == 3


def _evaluation(found: dict[str, list[str]]) -> Evaluation:
    question = Question(id="q1", kind="direct", question="?", gold=(Gold("a", "b"),), facts=("42 marks",))
    unanswerable = Question(id="q2", kind="unanswerable", question="?", gold=(), facts=())
    answers = AnswerScores()
    answers.count(question, "It costs 42 Marks [1].")
    answers.count(unanswerable, NOT_ANSWERED)
    answers.count(question, NOT_ANSWERED)
    runs = {mode: SearchRun({"q1": places}, 1.0) for mode, places in found.items()}
    return Evaluation([question, unanswerable], {"q1": {"a#0": 1.0}, "q2": {}}, runs, answers, 1, 2)


def test_the_bar_is_met_when_hybrid_is_not_worse_than_either() -> None:
    good = _evaluation({"dense": ["a#1", "a#0"], "BM25": ["a#0"], "hybrid": ["a#0"], "hybrid + rerank": ["a#0"]})
    bad = _evaluation({"dense": ["a#0"], "BM25": [], "hybrid": ["a#1", "a#0"], "hybrid + rerank": []})

    assert bar_is_met(good)
    assert not bar_is_met(bad)
    assert "alone: **met**" in render(good)
    assert "**NOT met**" in render(bad)


def test_answers_are_judged_by_facts_and_by_honesty() -> None:
    answers = _evaluation({mode: [] for mode in ("dense", "BM25", "hybrid", "hybrid + rerank")}).answers

    assert answers.right == {"direct": 1, "unanswerable": 1}
    assert (answers.declined, answers.wrong) == (1, ["q1"])
