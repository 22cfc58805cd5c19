"""Measures retrieval, answers and follow-ups on the sample corpus: `python -m deploy.local.eval.run`.

Where `MILVUS_HOST`, `EMBEDDINGS_URL`, `RERANKER_URL` or `VLLM_URL` is set, that server is used; otherwise a Milvus Lite
and the local inference server are started for the run.
"""

from __future__ import annotations

import os

# Read by numpy when it is imported; see deploy/local/inference/__main__.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.local.eval.conversation_report import HEADING, follow_ups_hold, render_conversations
from deploy.local.eval.conversations import Conversation, Outcome, load_conversations, measure_conversations
from deploy.local.eval.questions import load_questions, places, relevant_chunks
from deploy.local.eval.report import Evaluation, bar_is_met, render
from deploy.local.inference.encoder import SentenceEncoder
from deploy.local.inference.server import ServerOptions, build_app
from handler_base.clients import HttpPool, embeddings_client, llm_client, reranker_client
from handler_base.config import RagSettings
from handler_base.errors import FleetError
from handler_base.rag import Chunk, Chunker, Ingestor, WritableVectorStore, chunks_of, load_file, writable_store
from handler_base.rag.documents import digest
from handler_base.rag.follow_ups import QueryRewriter
from handler_base.testing.milvus import milvus_lite
from pipeline_bridge.steps.measuring import MODES, Pipeline, measure_answers, measure_search
from pipeline_bridge.steps.questions import Question

_HERE: Final = Path(__file__).parent
_CORPUS: Final = _HERE.parent / "corpus"
_INFERENCE: Final = ("embeddings_url", "reranker_url", "vllm_url")


@asynccontextmanager
async def _inference_server() -> AsyncIterator[str]:
    """Run the local inference server in this process; yield its base URL."""
    app = build_app(await asyncio.to_thread(SentenceEncoder), ServerOptions(words_per_second=0))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _servers(stack: AsyncExitStack) -> RagSettings:
    """Start what the environment does not name; return settings that point at everything."""
    settings = RagSettings(milvus_api="grpc")
    found: dict[str, object] = {}
    if "MILVUS_HOST" not in os.environ:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eval-milvus-")))
        lite = await asyncio.to_thread(stack.enter_context, milvus_lite(data))
        found |= {"milvus_host": "127.0.0.1", "milvus_port": lite.port}
    missing = [name for name in _INFERENCE if name.upper() not in os.environ]
    if missing:
        url = await stack.enter_async_context(_inference_server())
        found |= dict.fromkeys(missing, url)
    return settings.model_copy(update=found)


def _corpus() -> tuple[list[Path], list[Chunk]]:
    paths = sorted(path for path in _CORPUS.rglob("*") if path.is_file())
    documents = [load_file(path, path.relative_to(_CORPUS).as_posix()) for path in paths]
    return paths, [chunk for document in documents for chunk in chunks_of(document, Chunker())]


async def _ingested(store: WritableVectorStore, settings: RagSettings, pool: HttpPool, chunks: list[Chunk]) -> str:
    """Ingest the corpus into a collection of its own, named after its content; return the name."""
    collection = f"eval_{digest(*(chunk.chunk_id for chunk in chunks))[:12]}"
    report = await Ingestor(store, embeddings_client(settings, pool)).ingest([_CORPUS], collection, root=_CORPUS)
    if report.failures:
        raise RuntimeError(f"not ingested: {report.failures}")
    return collection


@asynccontextmanager
async def _pipeline(chunks: list[Chunk]) -> AsyncIterator[Pipeline]:
    """Ingest the corpus; yield what answers questions about it."""
    async with AsyncExitStack() as stack:
        settings = await _servers(stack)
        pool = HttpPool()
        stack.push_async_callback(pool.close)
        store = writable_store(settings)
        await store.open()
        stack.push_async_callback(store.close)
        collection = await _ingested(store, settings, pool, chunks)
        clients = embeddings_client(settings, pool), reranker_client(settings, pool), llm_client(settings, pool)
        yield Pipeline(store, collection, *clients)


async def evaluate(
    questions: list[Question], conversations: list[Conversation]
) -> tuple[Evaluation | None, list[Outcome]]:
    """Ingest the corpus and measure every way of searching, the answers, and the follow-ups; what is empty is left."""
    paths, chunks = await asyncio.to_thread(_corpus)
    relevance = {question.id: relevant_chunks(question, chunks) for question in questions}
    evaluation = None
    async with _pipeline(chunks) as pipeline:
        if questions:
            answerable = [question for question in questions if question.answerable]
            runs = {mode: await measure_search(pipeline, answerable, mode, places) for mode in MODES}
            answers = await measure_answers(pipeline, questions)
            evaluation = Evaluation(questions, relevance, runs, answers, len(paths), len(chunks))
        rewriter = QueryRewriter(None, "context", timedelta(0))
        outcomes = await measure_conversations(pipeline, conversations, chunks, rewriter)
    return evaluation, outcomes


def _updated(report: Path, evaluation: Evaluation | None, outcomes: list[Outcome]) -> str:
    """Return the report with what was measured; a part that was not measured stays as it stands there."""
    old = report.read_text(encoding="utf-8") if report.is_file() else ""
    questions, heading, conversations = old.partition(HEADING)
    first = render(evaluation) if evaluation is not None else questions
    second = render_conversations(outcomes) if outcomes else heading + conversations
    return "\n".join(part.strip() + "\n" for part in (first, second) if part.strip())


def main() -> int:
    """Measure, print and write the report.

    Returns:
        0; 1 when a bar is not met or a server failed.
    """
    parser = argparse.ArgumentParser(prog="python -m deploy.local.eval.run", description=__doc__)
    parser.add_argument("--questions", type=Path, default=_HERE / "questions.jsonl", help="question set (JSON lines)")
    parser.add_argument(
        "--conversations", type=Path, default=_HERE / "conversations.jsonl", help="conversations (JSON lines)"
    )
    parser.add_argument("--output", type=Path, default=_HERE / "results.md", help="report; default: %(default)s")
    parser.add_argument("--only", choices=("questions", "conversations"), help="measure this part alone")
    options = parser.parse_args()
    questions = [] if options.only == "conversations" else load_questions(options.questions)
    conversations = [] if options.only == "questions" else load_conversations(options.conversations)
    try:
        evaluation, outcomes = asyncio.run(evaluate(questions, conversations))
    except (FleetError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = _updated(options.output, evaluation, outcomes)
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0 if (evaluation is None or bar_is_met(evaluation)) and (not outcomes or follow_ups_hold(outcomes)) else 1


if __name__ == "__main__":
    sys.exit(main())
