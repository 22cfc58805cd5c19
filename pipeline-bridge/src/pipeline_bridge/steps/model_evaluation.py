"""How well a collection is searched and questions are answered.

The same measures as `make eval`, on any collection: a passage is relevant when it holds the words that answer the
question, and comes from the document that was named for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from handler_base.clients import HttpPool, embeddings_client, llm_client, reranker_client
from handler_base.errors import UpstreamError
from handler_base.rag import Hit, vector_store
from handler_base.rag.eval import score_questions
from handler_base.rag.store import check_collection_name
from pipeline_bridge.steps.measuring import (
    MODES,
    AnswerScores,
    Pipeline,
    SearchRun,
    measure_answers,
    measure_search,
)
from pipeline_bridge.steps.output import Output
from pipeline_bridge.steps.questions import Question, parse_questions
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.sources import Sources
from pipeline_bridge.steps.step import Step

__all__ = ["Parameters", "relevance_of", "relevant_golds", "run"]

_METRICS: Final = "metrics.json"
_GATE: Final = MODES[-1]
"""The way of searching that a least nDCG is asked of: what the services do."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What an evaluation is told.

    Attributes:
        questions_url: A file or page with one question and its answer a line; see `Question`.
        collection: Documents to search; empty: `COLLECTION_NAME`.
        min_ndcg: nDCG@10 of reranked search that is good enough; the run fails below.
    """

    questions_url: str
    collection: str = ""
    min_ndcg: float = 0.0


async def run(step: Step) -> None:
    """Measure.

    Raises:
        FleetError: The questions may not be read, a server is away, or it is not good enough.
    """
    parameters = step.parameters(Parameters)
    settings = StepSettings()
    collection = parameters.collection or settings.collection_name
    check_collection_name(collection)
    async with Sources(settings.source_urls) as sources:
        questions = parse_questions(await sources.text(parameters.questions_url))
    answerable = [question for question in questions if question.answerable]
    total = len(MODES) * len(answerable) + len(questions)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        step.progress(done, total)

    async with _pipeline(settings, collection) as pipeline:
        searches = {
            mode: await measure_search(pipeline, answerable, mode, relevant_golds, advance=advance)
            for mode in (MODES if answerable else ())
        }
        answers = await measure_answers(pipeline, questions, advance=advance)
    search = {mode: _figures(found, questions) for mode, found in searches.items()}
    output = Output(step, settings)
    await asyncio.to_thread(output.write, _METRICS, _metrics(collection, questions, search, answers))
    where = output.produced(_METRICS, "metrics")
    reached = search[_GATE]["ndcg_at_10"] if search else 0.0
    right, asked = sum(answers.right.values()), sum(answers.asked.values())
    told = f"nDCG@10 {reached:.3f} over {len(questions)} questions, {right} of {asked} answers right; see {where}."
    if reached < parameters.min_ndcg:
        raise UpstreamError(f"{told} At least {parameters.min_ndcg:g} was asked for.")
    step.progress(total, total, told)


def _metrics(
    collection: str,
    questions: Sequence[Question],
    search: Mapping[str, Mapping[str, float]],
    answers: AnswerScores,
) -> bytes:
    figures = {
        "collection": collection,
        "questions": len(questions),
        "search": search,
        "answers": {
            "right": sum(answers.right.values()),
            "asked": sum(answers.asked.values()),
            "by_kind": {
                kind: {"right": answers.right[kind], "asked": asked} for kind, asked in sorted(answers.asked.items())
            },
            "declined": answers.declined,
            "not_right": answers.wrong,
        },
    }
    return msgspec.json.format(msgspec.json.encode(figures))


def relevance_of(question: Question) -> dict[str, float]:
    """Return the gains of a question: each place that was named for it is worth the same, found once."""
    return {str(index): 1.0 for index in range(len(question.gold))}


def relevant_golds(question: Question, hits: Sequence[Hit]) -> list[str]:
    """Return for each passage the place of the question that it holds and that none before it held, or its own id."""
    open_golds = dict(enumerate(question.gold))
    found = []
    for hit in hits:
        text = " ".join(hit.text.split())
        held = [
            index
            for index, gold in open_golds.items()
            if f"/{hit.source_url}".endswith(f"/{gold.document}") and " ".join(gold.snippet.split()) in text
        ]
        for index in held:
            del open_golds[index]
        found += [str(index) for index in held] or [hit.chunk_id]
    return found


def _figures(run: SearchRun, questions: Sequence[Question]) -> dict[str, float]:
    scores = score_questions(run.found, {question.id: relevance_of(question) for question in questions})
    return {
        "ndcg_at_10": round(scores.ndcg_at_10, 4),
        "recall_at_5": round(scores.recall_at_k[5], 4),
        "mrr_at_10": round(scores.mrr_at_10, 4),
        "hit_rate_at_3": round(scores.hit_rate_at_k[3], 4),
        "milliseconds": round(run.milliseconds, 1),
    }


@asynccontextmanager
async def _pipeline(settings: StepSettings, collection: str) -> AsyncIterator[Pipeline]:
    async with AsyncExitStack() as stack:
        pool = HttpPool()
        stack.push_async_callback(pool.close)
        store = vector_store(settings, pool)
        await store.open()
        stack.push_async_callback(store.close)
        clients = embeddings_client(settings, pool), reranker_client(settings, pool), llm_client(settings, pool)
        yield Pipeline(store, collection, *clients)
