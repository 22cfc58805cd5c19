"""Ingestion into a real store: the second run, changes, failures, progress."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from handler_base.clients import HttpPool, embeddings_client
from handler_base.config import RagSettings
from handler_base.deadline import Deadline
from handler_base.errors import InternalError, InvalidRequestError, NotFoundError, UpstreamError
from handler_base.rag import (
    Chunk,
    Chunker,
    IngestOptions,
    Ingestor,
    IngestProgress,
    IngestReport,
    PyMilvusStore,
    SourceDocument,
    chunks_of,
)


class ModelServer(Protocol):
    """What the tests turn on the server of the conftest."""

    dimension: int
    broken: dict[str, int]
    embedded: list[str]


@pytest.fixture
def options() -> IngestOptions:
    return IngestOptions(passage_prefix="passage: ", batch_size=2, attempts=3, retry_delay=timedelta(milliseconds=1))


@pytest.fixture
def ingestor(rag_settings: RagSettings, pool: HttpPool, grpc_store: PyMilvusStore, options: IngestOptions) -> Ingestor:
    return Ingestor(grpc_store, embeddings_client(rag_settings, pool), options=options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lamp.md").write_text("# The lamp\n\nThe lamp is lit at dusk.\n\n## Oil\n\nIt burns oil.\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ferry.txt").write_text("The ferry\n\nIt crosses twice a day.\n")
    return tmp_path


async def test_a_folder_is_ingested_and_can_be_found(
    ingestor: Ingestor, grpc_store: PyMilvusStore, folder: Path, collection: str, deadline: Deadline
) -> None:
    report = await ingestor.ingest([folder], collection, root=folder)

    assert report == IngestReport(added=2, chunks_written=3)
    info = await grpc_store.describe(collection, deadline=deadline)
    assert (info.count, info.dimension, info.lexical) == (3, 4, True)
    (hit,) = await grpc_store.search(collection, vector=None, text="crosses", limit=3, deadline=deadline)
    assert (hit.title, hit.source_url, hit.position) == ("The ferry", "sub/ferry.txt", 0)


async def test_a_second_run_changes_nothing_and_embeds_nothing(
    ingestor: Ingestor, model_server: ModelServer, folder: Path, collection: str
) -> None:
    await ingestor.ingest([folder], collection, root=folder)
    model_server.embedded.clear()

    report = await ingestor.ingest([folder], collection, root=folder)

    assert report == IngestReport(unchanged=2)
    assert model_server.embedded == ["passage: dimension"]


async def test_what_is_embedded_has_the_prefix_and_the_title(
    ingestor: Ingestor, model_server: ModelServer, collection: str
) -> None:
    await ingestor.ingest([SourceDocument("a", "The title", "The lamp.")], collection)

    assert model_server.embedded[1:] == ["passage: The title\nThe lamp."]


async def test_a_changed_document_replaces_its_old_chunks(
    ingestor: Ingestor, grpc_store: PyMilvusStore, folder: Path, collection: str, deadline: Deadline
) -> None:
    await ingestor.ingest([folder], collection, root=folder)
    (folder / "lamp.md").write_text("# The lamp\n\nThe lamp is lit at dawn.\n")

    report = await ingestor.ingest([folder], collection, root=folder)

    assert report == IngestReport(unchanged=1, replaced=1, chunks_written=1, chunks_deleted=2)
    hits = await grpc_store.search(collection, vector=None, text="lamp oil dusk dawn", limit=5, deadline=deadline)
    assert [hit.text for hit in hits] == ["# The lamp\n\nThe lamp is lit at dawn."]


async def test_another_model_embeds_everything_anew(
    rag_settings: RagSettings, pool: HttpPool, grpc_store: PyMilvusStore, folder: Path, collection: str
) -> None:
    embeddings = embeddings_client(rag_settings, pool)
    await Ingestor(grpc_store, embeddings, options=IngestOptions(model="one")).ingest([folder], collection)

    report = await Ingestor(grpc_store, embeddings, options=IngestOptions(model="two")).ingest([folder], collection)

    assert report == IngestReport(replaced=2, chunks_written=3, chunks_deleted=3)


async def test_a_broken_file_fails_alone_and_says_why(ingestor: Ingestor, folder: Path, collection: str) -> None:
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xff")
    (folder / "empty.md").write_text(" \n")

    report = await ingestor.ingest([folder], collection, root=folder)

    assert report.added == 2
    reasons = {failure.source: failure.reason for failure in report.failures}
    assert set(reasons) == {"bad.txt", "empty.md"}
    assert "not valid utf-16" in reasons["bad.txt"]
    assert reasons["empty.md"] == "The document has no text."


async def test_progress_is_told_after_each_document(ingestor: Ingestor, folder: Path, collection: str) -> None:
    (folder / "empty.md").write_text("")
    told: list[IngestProgress] = []

    await ingestor.ingest([folder], collection, root=folder, progress=told.append)

    assert [progress.done for progress in told] == [1, 2, 3]
    assert {(progress.source, progress.outcome.value, progress.chunks) for progress in told} == {
        ("empty.md", "failed", 0),
        ("lamp.md", "added", 2),
        ("sub/ferry.txt", "added", 1),
    }
    assert all(progress.total == 3 for progress in told)


async def test_a_passing_failure_is_tried_again(
    ingestor: Ingestor, model_server: ModelServer, folder: Path, collection: str
) -> None:
    model_server.broken = {"/embed": 2}

    assert (await ingestor.ingest([folder], collection, root=folder)).added == 2


async def test_embeddings_that_stay_away_fail_the_run(
    ingestor: Ingestor, model_server: ModelServer, folder: Path, collection: str
) -> None:
    model_server.broken = {"/embed": 100}

    with pytest.raises(UpstreamError):
        await ingestor.ingest([folder], collection, root=folder)


async def test_a_run_that_was_cut_off_is_completed_by_the_next(
    ingestor: Ingestor, grpc_store: PyMilvusStore, folder: Path, collection: str, deadline: Deadline
) -> None:
    await ingestor.ingest([folder], collection, root=folder)
    document = SourceDocument("lamp.md", "x", "x").document_id
    stored = await grpc_store.stored_chunks(collection, document, deadline=deadline)
    await grpc_store.delete_chunks(collection, [stored[0].chunk_id], deadline=deadline)

    report = await ingestor.ingest([folder], collection, root=folder)

    assert report == IngestReport(unchanged=1, replaced=1, chunks_written=1)


async def test_a_collection_of_another_dimension_is_refused(
    ingestor: Ingestor, grpc_store: PyMilvusStore, folder: Path, collection: str, deadline: Deadline
) -> None:
    await grpc_store.create_collection(collection, 9, deadline=deadline)

    with pytest.raises(InvalidRequestError, match="exists with 9 dimensions; the embeddings have 4"):
        await ingestor.ingest([folder], collection)


async def test_nothing_to_ingest_makes_no_collection(
    ingestor: Ingestor, grpc_store: PyMilvusStore, tmp_path: Path, collection: str, deadline: Deadline
) -> None:
    assert await ingestor.ingest([tmp_path], collection) == IngestReport()
    assert collection not in await grpc_store.collections(deadline=deadline)
    with pytest.raises(NotFoundError):
        await ingestor.ingest([tmp_path / "nowhere"], collection)


async def test_a_document_named_twice_is_ingested_once(
    ingestor: Ingestor, folder: Path, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    report = await ingestor.ingest([folder, folder / "lamp.md", folder / "sub"], collection)

    assert report.added == 2


async def test_a_folder_elsewhere_is_named_by_itself(ingestor: Ingestor, folder: Path, collection: str) -> None:
    told: list[IngestProgress] = []

    await ingestor.ingest([folder / "sub"], collection, progress=told.append)

    assert [progress.source for progress in told] == ["sub/ferry.txt"]


async def test_a_document_can_be_deleted(
    ingestor: Ingestor, grpc_store: PyMilvusStore, folder: Path, collection: str, deadline: Deadline
) -> None:
    await ingestor.ingest([folder], collection, root=folder)
    document = SourceDocument("lamp.md", "x", "x").document_id

    await grpc_store.delete_document(collection, document, deadline=deadline)

    assert await grpc_store.stored_chunks(collection, document, deadline=deadline) == []
    assert (await ingestor.ingest([folder], collection, root=folder)).added == 1


def test_chunks_have_the_same_ids_in_every_run_and_belong_to_one_document() -> None:
    text = "\n\n".join(f"Paragraph {number} tells of the island." for number in range(40))
    document = SourceDocument("a/b.md", "B", text, page_starts=(0, 200))

    chunks = chunks_of(document, Chunker(max_tokens=40, overlap_tokens=5))

    assert chunks == chunks_of(document, Chunker(max_tokens=40, overlap_tokens=5))
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks) > 5
    assert {chunk.document_id for chunk in chunks} == {document.document_id}
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert (chunks[0].page, chunks[-1].page) == (1, 2)
    other = SourceDocument("a/c.md", "B", text)
    assert not {chunk.chunk_id for chunk in chunks} & {chunk.chunk_id for chunk in chunks_of(other, Chunker())}


def test_a_document_has_at_least_one_chunk() -> None:
    with pytest.raises(InvalidRequestError):
        chunks_of(SourceDocument("a", "A", " \n "), Chunker())


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk_id": ""},
        {"document_id": ""},
        {"text": " "},
        {"position": -1},
        {"page": -1},
    ],
)
def test_a_chunk_that_is_none_cannot_be_made(fields: dict[str, str | int]) -> None:
    values: dict[str, str | int] = {"chunk_id": "c", "document_id": "d", "text": "t"}

    with pytest.raises(InvalidRequestError):
        Chunk(**(values | fields))  # type: ignore[arg-type]  # wrong values are the point


async def test_vectors_must_fit_the_collection_and_the_chunks(
    grpc_store: PyMilvusStore, shared: str, deadline: Deadline, island_chunks: list[Chunk]
) -> None:
    with pytest.raises(InternalError):
        await grpc_store.upsert(shared, island_chunks[:1], [[1.0, 2.0]], deadline=deadline)
    with pytest.raises(InvalidRequestError):
        await grpc_store.upsert(shared, island_chunks[:1], [], deadline=deadline)
    long = Chunk(chunk_id="x", document_id="d", text="\u00e9" * 40_000)
    with pytest.raises(InvalidRequestError, match="65535 bytes"):
        await grpc_store.upsert(shared, [long], [[1.0, 0.0, 0.0, 0.0]], deadline=deadline)


async def test_a_collection_of_others_is_not_written_to(
    grpc_store: PyMilvusStore, collection: str, deadline: Deadline, milvus_uri: str
) -> None:
    from pymilvus import MilvusClient

    client = MilvusClient(milvus_uri)
    client.create_collection(collection, dimension=4)
    client.close()

    with pytest.raises(InvalidRequestError, match="another schema"):
        await grpc_store.create_collection(collection, 4, deadline=deadline)
    with pytest.raises(InvalidRequestError):
        await grpc_store.create_collection(collection, 0, deadline=deadline)


async def test_titles_and_urls_that_are_too_long_are_cut(
    grpc_store: PyMilvusStore, filled: str, deadline: Deadline
) -> None:
    chunk = Chunk(chunk_id="long", document_id="d", text="walrus", title="\u00e9" * 1000, source_url="u" * 5000)

    await grpc_store.upsert(filled, [chunk], [[0.5, 0.5, 0.5, 0.5]], deadline=deadline)

    (hit,) = await grpc_store.search(filled, vector=None, text="walrus", limit=1, deadline=deadline)
    assert (hit.title, hit.source_url) == ("\u00e9" * 512, "u" * 4096)
