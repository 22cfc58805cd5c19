"""`fleet ingest`, into a real Milvus Lite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings, status
from handler_base.testing.milvus import MilvusLite, milvus_lite
from handler_base.testing.nats_server import free_port

from .conftest import Fleet


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
async def embeddings() -> AsyncIterator[FakeEmbeddings]:
    async with FakeEmbeddings() as server:
        yield server


@pytest.fixture
def ingest(offline: Fleet, milvus: MilvusLite, embeddings: FakeEmbeddings, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The command, with servers and a collection of the test's own."""
    monkeypatch.setenv("MILVUS_HOST", "127.0.0.1")
    monkeypatch.setenv("MILVUS_PORT", str(milvus.port))
    monkeypatch.setenv("EMBEDDINGS_URL", embeddings.url)
    monkeypatch.setenv("COLLECTION_NAME", f"c_{uuid4().hex}")
    return offline


@pytest.fixture
def docs(folder: Path) -> Path:
    docs = folder / "docs"
    docs.mkdir()
    (docs / "ferry.md").write_text("# Ferry\n\nThe first ferry leaves at six.\n", encoding="utf-8")
    (docs / "light.txt").write_text("The lighthouse was built in 1871.\n", encoding="utf-8")
    return docs


async def test_doing_it_again_changes_nothing(ingest: Fleet, docs: Path) -> None:
    first = await ingest("ingest", "docs")
    assert first.code == 0, first.err
    assert ": 2 added, 0 unchanged, 0 replaced, 0 failed; 2 chunks written" in first.out
    (docs / "light.txt").write_text("The lighthouse was built in 1872.\n", encoding="utf-8")
    again = (await ingest("ingest", "docs", "--json")).json
    assert (again["added"], again["unchanged"], again["replaced"]) == (0, 1, 1)
    assert (again["chunks_written"], again["chunks_deleted"]) == (1, 1)


async def test_a_document_that_fails_is_named_and_the_others_go_in(ingest: Fleet, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-nonsense")
    run = await ingest("ingest", "docs", "--collection", f"c_{uuid4().hex}", "--root", "docs")
    assert run.code == 1
    assert "2 added" in run.out
    assert "fleet: broken.pdf: " in run.err
    assert "fleet: 1 of 3 documents failed.\n" in run.err


async def test_there_are_no_documents(ingest: Fleet, folder: Path) -> None:
    (folder / "empty").mkdir()
    run = await ingest("ingest", "empty")
    assert run.code == 2
    assert "There are no documents there" in run.err


async def test_a_collection_name_that_is_none(ingest: Fleet, docs: Path) -> None:
    run = await ingest("ingest", "docs", "--collection", "no name")
    assert run.code == 2
    assert run.err.count("\n") == 1


async def test_the_embeddings_server_fails(ingest: Fleet, docs: Path, embeddings: FakeEmbeddings) -> None:
    embeddings.script = EmbeddingsScript(always=status(400))
    run = await ingest("ingest", "docs")
    assert run.code in {1, 2}
    assert run.err.startswith("fleet: ")


async def test_the_embeddings_server_is_away(ingest: Fleet, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDINGS_URL", f"http://127.0.0.1:{free_port()}")
    run = await ingest("ingest", "docs")
    assert run.code == 1
    assert "Check EMBEDDINGS_URL=http://127.0.0.1:" in run.err


async def test_an_address_that_is_none(ingest: Fleet, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDINGS_URL", "nonsense://")
    run = await ingest("ingest", "docs")
    assert run.code == 2
    assert "EMBEDDINGS_URL is not valid" in run.err
