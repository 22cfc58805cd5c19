"""The tables of an evaluation, for the terminal and as Markdown, and whether the bar is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler_base.rag.eval import RetrievalScores, score_questions
from pipeline_bridge.steps.measuring import MODES, AnswerScores, SearchRun
from pipeline_bridge.steps.questions import KINDS, Question

__all__ = ["Evaluation", "bar_is_met", "render", "table"]

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured.

    Attributes:
        questions: The question set.
        relevance: Gains by place of the chunk, by question.
        runs: What each way of searching found.
        answers: How the answers were.
        documents: Documents of the corpus.
        chunks: Chunks of the corpus.
    """

    questions: Sequence[Question]
    relevance: Mapping[str, Mapping[str, float]]
    runs: Mapping[str, SearchRun]
    answers: AnswerScores
    documents: int
    chunks: int

    def scores(self, mode: str, kind: str = "") -> RetrievalScores:
        """Return the scores of one way of searching, for all questions or those of one kind."""
        ids = {question.id for question in self.questions if kind in {"", question.kind}}
        relevance = {identity: gains for identity, gains in self.relevance.items() if identity in ids}
        return score_questions(self.runs[mode].found, relevance)


def bar_is_met(evaluation: Evaluation) -> bool:
    """Tell whether hybrid search is at least as good as either of its halves."""
    hybrid = evaluation.scores("hybrid").ndcg_at_10
    return all(hybrid >= evaluation.scores(mode).ndcg_at_10 - _TOLERANCE for mode in ("dense", "BM25"))


def render(evaluation: Evaluation) -> str:
    """Return the report as Markdown."""
    unanswerable = sum(not question.answerable for question in evaluation.questions)
    verdict = "met" if bar_is_met(evaluation) else "NOT met"
    return "\n".join(
        [
            "# Retrieval and answers on the sample corpus",
            "",
            f"{len(evaluation.questions)} questions ({unanswerable} without an answer) over {evaluation.chunks} chunks",
            f"of {evaluation.documents} documents. Made by `make eval`; corpus and questions are this project's own.",
            "",
            *_overall(evaluation),
            "",
            f"Bar: nDCG@10 of hybrid search is at least that of dense and of BM25 alone: **{verdict}**.",
            "",
            "## nDCG@10 by kind of question",
            "",
            *_by_kind(evaluation),
            "",
            "## Answers of the extractive model",
            "",
            "Top five of hybrid search, reranked, three shown. Right means: every fact of the gold answer is in the",
            "text, or, for a question without an answer, the model says that the documents do not answer it. The",
            "model's threshold, the reranker's weights and the constant of rank fusion were set with these questions",
            "in view: read the figures as a floor to hold and not as a forecast.",
            "",
            *_answers(evaluation.answers),
            "",
        ]
    )


def _overall(evaluation: Evaluation) -> list[str]:
    rows = [["search", "nDCG@10", "recall@5", "MRR@10", "hit@3", "ms a search"]]
    for mode in MODES:
        scores = evaluation.scores(mode)
        figures = (scores.ndcg_at_10, scores.recall_at_k[5], scores.mrr_at_10, scores.hit_rate_at_k[3])
        rows.append([mode, *(f"{figure:.3f}" for figure in figures), f"{evaluation.runs[mode].milliseconds:.0f}"])
    return table(rows)


def _by_kind(evaluation: Evaluation) -> list[str]:
    rows = [["kind", "questions", *MODES]]
    for kind in KINDS[:-1]:
        scores = [evaluation.scores(mode, kind) for mode in MODES]
        rows.append([kind, str(scores[0].questions), *(f"{score.ndcg_at_10:.3f}" for score in scores)])
    return table(rows)


def _answers(answers: AnswerScores) -> list[str]:
    rows = [["kind", "right", "of", "share"]]
    for kind in KINDS:
        right, asked = answers.right.get(kind, 0), answers.asked.get(kind, 0)
        rows.append([kind, str(right), str(asked), f"{right / asked:.2f}" if asked else "-"])
    right, asked = sum(answers.right.values()), sum(answers.asked.values())
    rows.append(["all", str(right), str(asked), f"{right / asked:.2f}"])
    declined = f"Answerable questions that were declined rather than answered: {answers.declined}."
    return [*table(rows), "", declined, f"Not right: {', '.join(answers.wrong)}."]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]
