"""The documents of the local stack: ingested once, and what stands in the way is told in one line."""

from __future__ import annotations

from pathlib import Path

from deploy.local.environment import StackSettings, read_settings
from deploy.local.ingest import ingest_corpus
from deploy.tests.stack.conftest import ROOT
from handler_base.testing.inference import FakeEmbeddings
from handler_base.testing.milvus import MilvusLite
from handler_base.testing.nats_server import free_port


def documents(tmp_path: Path, *names: str) -> StackSettings:
    """Return the settings of a stack with documents of its own."""
    corpus = tmp_path / "documents"
    corpus.mkdir()
    for name in names:
        (corpus / name).write_text(f"# {name}\n\nIt rained on eleven days of March.\n", "utf-8")
    return read_settings(ROOT, {"LOCAL_DIR": str(tmp_path / "state"), "LOCAL_CORPUS": str(corpus)})


async def test_documents_are_ingested_once(tmp_path: Path) -> None:
    settings = documents(tmp_path, "weather.md", "tides.md")
    said: list[str] = []
    milvus = MilvusLite(tmp_path / "milvus")
    milvus.start()
    try:
        async with FakeEmbeddings() as embeddings:
            places = {"MILVUS_HOST": "127.0.0.1", "MILVUS_PORT": str(milvus.port), "MILVUS_API": "grpc"}
            environment = {**places, "EMBEDDINGS_URL": embeddings.url}
            assert await ingest_corpus(settings, environment, said.append)
            asked = len(embeddings.requests)
            assert await ingest_corpus(settings, environment, said.append)
            assert len(embeddings.requests) == asked > 0
    finally:
        milvus.stop()
    assert [line.partition(":")[0] for line in said[1:]] == [
        "2 documents in knowledge_base",
        "the sample documents are ingested already",
    ]


async def test_documents_that_cannot_be_ingested_are_one_line(tmp_path: Path) -> None:
    settings = documents(tmp_path)
    said: list[str] = []
    places = {"MILVUS_HOST": "127.0.0.1", "MILVUS_PORT": str(free_port()), "MILVUS_API": "grpc"}

    assert not await ingest_corpus(settings, places, said.append)

    (line,) = said[1:]
    assert line.startswith("warning: the sample documents are not ingested: ")
    assert not (settings.state / "milvus" / "ingested").exists()
