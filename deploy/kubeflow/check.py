"""Runs the compiled Kubeflow pipelines by KFP's local runner, against stand-ins of everything they call.

Part of ``make pipelines``: the containers' commands run as processes of this checkout, and Milvus is a Milvus Lite.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from deploy.kubeflow.environment import KFP_PYTHON
from handler_base.clients import HttpPool, embeddings_client
from handler_base.config import RagSettings
from handler_base.rag import Ingestor, SourceDocument, writable_store
from handler_base.testing.inference import FakeEmbeddings, FakeLLM, FakeReranker, FakeSTT, FakeTTS
from handler_base.testing.milvus import MilvusRestFront, milvus_lite

__all__ = ["main"]

_HERE: Final = Path(__file__).resolve().parent
_DOCUMENT: Final = SourceDocument("ferry.md", "Ferry", "The first ferry leaves the harbour at six.")
_COLLECTION: Final = "knowledge_base"


@asynccontextmanager
async def _recordings() -> AsyncIterator[str]:
    """Serve one recording; yield the folder's URL."""

    async def recording(_: web.Request) -> web.Response:
        wav = (_HERE.parent / "local" / "question.wav").read_bytes()
        return web.Response(body=wav, content_type="audio/wav")

    app = web.Application()
    app.router.add_get("/recordings/question.wav", recording)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/recordings/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _servers() -> AsyncIterator[dict[str, str]]:
    """Start everything the steps call; yield the settings that point at it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubeflow-check-")))
        milvus = await asyncio.to_thread(stack.enter_context, milvus_lite(folder))
        front = await stack.enter_async_context(MilvusRestFront(milvus.uri))
        embeddings = await stack.enter_async_context(FakeEmbeddings())
        environment = {
            "EMBEDDINGS_URL": embeddings.url,
            "RERANKER_URL": (await stack.enter_async_context(FakeReranker())).url,
            "VLLM_URL": (await stack.enter_async_context(FakeLLM())).url,
            "WHISPER_URL": (await stack.enter_async_context(FakeSTT())).url,
            "TTS_URL": (await stack.enter_async_context(FakeTTS())).url,
            "MILVUS_HOST": "127.0.0.1",
            "MILVUS_PORT": front.url.rpartition(":")[2],
            "RETRIEVAL_TIMEOUT": "30",
            "SOURCE_URLS": await stack.enter_async_context(_recordings()),
        }
        await _ingest(milvus.port, embeddings.url)
        yield environment


async def _ingest(port: int, embeddings_url: str) -> None:
    settings = RagSettings(milvus_host="127.0.0.1", milvus_port=port, milvus_api="grpc", embeddings_url=embeddings_url)
    pool = HttpPool()
    store = writable_store(settings)
    await store.open()
    await Ingestor(store, embeddings_client(settings, pool)).ingest([_DOCUMENT], _COLLECTION)
    await store.close()
    await pool.close()


async def _run(pipeline: str, environment: Mapping[str, str], **arguments: object) -> dict[str, Any]:
    """Run one pipeline; return its outputs.

    Raises:
        RuntimeError: It failed; what it said was printed.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(KFP_PYTHON), str(_HERE / "local_run.py"), sys.executable, pipeline, json.dumps(arguments)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        print(output.decode(errors="replace"))
        raise RuntimeError(f"{pipeline} failed with status {process.returncode}")
    outputs: dict[str, Any] = json.loads(output.splitlines()[-1])
    return outputs


async def _check() -> None:
    async with _servers() as environment:
        answered = await _run("rag-query", environment, question="when does the first ferry leave the harbour")
        _expect(bool(answered["Output"]), f"rag-query answered {answered}")
        print(f"rag-query ran: {answered['Output']!r}")
        spoken = await _run("voice-pipeline", environment, audio_url=f"{environment['SOURCE_URLS']}question.wav")
        _expect(spoken["Output"]["begins"] == "RIFF", f"voice-pipeline made {spoken}")
        print(f"voice-pipeline ran: {spoken['Output']['bytes']} bytes of wav")


def _expect(right: bool, told: str) -> None:
    if not right:
        raise RuntimeError(told)


def main() -> int:
    """Run both; return the exit status."""
    try:
        asyncio.run(_check())
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
