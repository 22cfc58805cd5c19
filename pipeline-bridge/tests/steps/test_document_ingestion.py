"""Documents into a real Milvus Lite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler_base.errors import InvalidRequestError, PermissionDeniedError, UpstreamError
from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings
from handler_base.testing.milvus import MilvusLite
from pipeline_bridge.steps import document_ingestion, ingestion_plan

from .conftest import RunStep, StepProcess

if TYPE_CHECKING:
    from pymilvus import MilvusClient


@pytest.fixture
def stored(milvus: MilvusLite) -> Iterator[MilvusClient]:
    from pymilvus import MilvusClient

    client = MilvusClient(milvus.uri)
    yield client
    client.close()


def chunks(client: MilvusClient, collection: str) -> list[tuple[str, int]]:
    """Return document and place of every chunk that is stored."""
    rows = client.query(collection, filter="position >= 0", output_fields=["source_url", "position"], limit=10_000)
    return sorted((row["source_url"], row["position"]) for row in rows)


def write(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number:02}.md").write_text(f"# Station {number}\n\nIts code is {number * 37}.\n", "utf-8")


async def test_documents_go_in_once(run_step: RunStep, folder: Path, collection: str, stored: MilvusClient) -> None:
    write(folder, 3)
    first = await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection)
    assert first.progress[0] == (0, 3)
    assert first.progress[-1] == (3, 3)
    assert first.message.startswith(f"3 documents in {collection}: 3 added, 0 unchanged")
    (folder / "01.md").write_text("# Station 1\n\nIts code is new.\n", "utf-8")
    again = await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection)
    assert again.message.startswith(f"3 documents in {collection}: 0 added, 2 unchanged, 1 replaced")
    assert chunks(stored, collection) == [(f"docs/{number:02}.md", 0) for number in range(3)]


async def test_parts_together_are_the_whole(
    run_step: RunStep, folder: Path, collection: str, stored: MilvusClient
) -> None:
    write(folder, 8)
    for part in ("0/3", "1/3", "2/3"):
        await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection, part=part)
    assert [name for name, _ in chunks(stored, collection)] == [f"docs/{number:02}.md" for number in range(8)]


async def test_killed_half_way_it_goes_on_and_no_chunk_is_there_twice(
    folder: Path, collection: str, embeddings: FakeEmbeddings, stored: MilvusClient, tmp_path: Path
) -> None:
    write(folder, 40)
    embeddings.script = EmbeddingsScript(delay=0.05)
    parameters = {"source-url": f"file://{folder}", "collection": collection}
    process = StepProcess("document_ingestion", parameters, {})
    await process.start()
    await process.reaches(8)
    await process.kill()
    done, total = process.told.progress[-1]
    assert done < total == 40
    embeddings.script = EmbeddingsScript()
    before = len(embeddings.requests)
    argo = tmp_path / "progress"
    again = StepProcess("document_ingestion", parameters, {"ARGO_PROGRESS_FILE": str(argo)})
    await again.start()
    assert await again.end() == 0, again.errors
    assert again.told.progress[-1] == (40, 40)
    assert argo.read_text("utf-8") == "40/40\n"
    assert chunks(stored, collection) == [(f"docs/{number:02}.md", 0) for number in range(40)]
    assert len(embeddings.requests) - before <= 40 - done + 1


async def test_documents_that_fail_fail_the_run_unless_they_may(
    run_step: RunStep, folder: Path, collection: str, stored: MilvusClient
) -> None:
    write(folder, 2)
    (folder / "broken.pdf").write_bytes(b"%PDF-nonsense")
    source = {"source_url": f"file://{folder}", "collection": collection}
    with pytest.raises(UpstreamError, match=r"1 failed; 2 chunks written\. docs/broken\.pdf: "):
        await run_step(document_ingestion.run, **source)
    assert len(chunks(stored, collection)) == 2
    assert "1 failed" in (await run_step(document_ingestion.run, **source, max_failures="1")).message


async def test_what_may_not_be_read(run_step: RunStep, collection: str) -> None:
    with pytest.raises(PermissionDeniedError):
        await run_step(document_ingestion.run, source_url="file:///etc", collection=collection)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"source_url": "file:///", "max_failures": "many"},
        {"source_url": "file:///", "collection": "no name"},
        {"source_url": "file:///", "surprise": "1"},
    ],
)
async def test_parameters_that_do_not_fit(run_step: RunStep, parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        await run_step(document_ingestion.run, **parameters)


async def test_an_empty_folder(run_step: RunStep, folder: Path, collection: str) -> None:
    with pytest.raises(InvalidRequestError, match="There are no documents"):
        await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection)


async def test_artifacts_have_addresses_where_the_folder_has_one(
    run_step: RunStep, folder: Path, collection: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(folder, 1)
    source = {"source_url": f"file://{folder}", "collection": collection}
    assert (await run_step(document_ingestion.run, "run-1", **source)).artifacts == []
    monkeypatch.setenv("ARTIFACTS_URL", "s3://bucket/runs/")
    told = await run_step(document_ingestion.run, "run-1", **source)
    assert told.artifacts == [("ingestion-report.json", "metrics", "s3://bucket/runs/run-1/ingestion-report.json")]
    assert (tmp_path / "artifacts" / "run-1" / "ingestion-report.json").is_file()


async def test_what_can_never_work_has_an_exit_code_of_its_own(folder: Path) -> None:
    refused = StepProcess("document_ingestion", {"source-url": "file:///etc"}, {})
    await refused.start()
    assert await refused.end() == 2
    assert refused.told.reports == [{"report": "failure", "message": "The URL is not below one of SOURCE_URLS."}]


async def test_a_source_is_shared_out_by_how_much_there_is(run_step: RunStep, folder: Path, tmp_path: Path) -> None:
    write(folder, 7)
    given = {"source_url": f"file://{folder}", "documents_per_part": "2"}
    told = await run_step(ingestion_plan.run, "run", **given)
    assert told.message == "7 documents in 4 parts."
    parts = tmp_path / "artifacts" / "run" / "parts.json"
    assert json.loads(parts.read_text("utf-8")) == ["0/4", "1/4", "2/4", "3/4"]
    assert (await run_step(ingestion_plan.run, "run", **given, most_parts=3)).message == "7 documents in 3 parts."


async def test_nothing_cannot_be_shared_out(run_step: RunStep, folder: Path) -> None:
    with pytest.raises(InvalidRequestError, match="There are no documents"):
        await run_step(ingestion_plan.run, source_url=f"file://{folder}")
