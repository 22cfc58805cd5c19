"""Documents into a collection.

Doing it again changes nothing, and what was killed half-way goes on where it was: a chunk is known by its document, its
place and its content, and what is stored already is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from handler_base.clients import HttpPool, embeddings_client
from handler_base.errors import FleetError, InvalidRequestError, UpstreamError
from handler_base.rag import (
    Failure,
    IngestOptions,
    Ingestor,
    IngestProgress,
    IngestReport,
    SourceDocument,
    writable_store,
)
from handler_base.rag.store import check_collection_name
from pipeline_bridge.steps.output import Output
from pipeline_bridge.steps.parts import Part
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.sources import Source, Sources
from pipeline_bridge.steps.step import Step

__all__ = ["Parameters", "documents", "run"]

_AT_ONCE: Final = 32
"""Documents in memory at once."""

_NAMED: Final = 5
"""Failures that are named in the message; the report has all."""

_REPORT: Final = "ingestion-report.json"


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What an ingestion is told.

    Attributes:
        source_url: A file, a folder, a page or a sitemap.
        collection: Where the documents go; empty: `COLLECTION_NAME`.
        max_failures: Documents that may fail before the run does.
        part: Which part of them, as ``index/count``.
    """

    source_url: str
    collection: str = ""
    max_failures: int = 0
    part: str = "0/1"


async def run(step: Step) -> None:
    """Ingest the documents.

    Raises:
        FleetError: The source may not be read, a server is away, or more documents failed than may.
    """
    parameters = step.parameters(Parameters)
    settings = StepSettings()
    part = Part.parse(parameters.part)
    collection = parameters.collection or settings.collection_name
    check_collection_name(collection)
    async with AsyncExitStack() as stack:
        sources = await stack.enter_async_context(Sources(settings.source_urls))
        found = [source for source in await documents(sources, parameters.source_url) if part.holds(source.name)]
        step.progress(0, len(found))
        if found:
            ingestor = await _ingestor(stack, settings)
            report = await _ingest(ingestor, sources, found, collection, step)
        elif part.count == 1:
            raise InvalidRequestError("There are no documents; .txt, .md, .html and .pdf files are read.")
        else:
            report = IngestReport()
    await asyncio.to_thread(_keep, report, collection, Output(step, settings))
    told = _told(report, collection)
    if len(report.failures) > parameters.max_failures:
        raise UpstreamError(told)
    step.progress(len(found), len(found), told)


async def _ingestor(stack: AsyncExitStack, settings: StepSettings) -> Ingestor:
    pool = HttpPool()
    stack.push_async_callback(pool.close)
    store = writable_store(settings)
    await store.open()
    stack.push_async_callback(store.close)
    options = IngestOptions.from_settings(settings)
    return Ingestor(store, embeddings_client(settings, pool), options=options)


async def _ingest(
    ingestor: Ingestor, sources: Sources, found: Sequence[Source], collection: str, step: Step
) -> IngestReport:
    total = IngestReport()
    done = 0

    def advance(_: IngestProgress) -> None:
        nonlocal done
        done += 1
        step.progress(done, len(found))

    files = [source.path for source in found if source.path is not None]
    if files:
        root = files[0].parents[len(Path(found[0].name).parts) - 1]
        return await ingestor.ingest(files, collection, root=root, progress=advance)
    async for pages, failures in _loaded(sources, found):
        total.failures += failures
        done += len(failures)
        _add(total, await ingestor.ingest(pages, collection, progress=advance))
    return total


def _keep(report: IngestReport, collection: str, output: Output) -> None:
    """Write the report; blocks."""
    figures = {
        "collection": collection,
        "documents": report.documents,
        "added": report.added,
        "unchanged": report.unchanged,
        "replaced": report.replaced,
        "chunks_written": report.chunks_written,
        "chunks_deleted": report.chunks_deleted,
        "failures": [{"source": failure.source, "reason": failure.reason} for failure in report.failures],
    }
    output.write(_REPORT, msgspec.json.format(msgspec.json.encode(figures)))
    output.produced(_REPORT, "metrics")


def _told(report: IngestReport, collection: str) -> str:
    failed = len(report.failures)
    noun = "document" if report.documents == 1 else "documents"
    told = (
        f"{report.documents} {noun} in {collection}: {report.added} added, {report.unchanged} unchanged, "
        f"{report.replaced} replaced, {failed} failed; {report.chunks_written} chunks written."
    )
    if not failed:
        return told
    named = "; ".join(f"{one.source}: {one.reason}" for one in report.failures[:_NAMED])
    return f"{told} {named}" + (f"; and {failed - _NAMED} more." if failed > _NAMED else "")


async def documents(sources: Sources, url: str) -> list[Source]:
    """Return the documents a URL names.

    Raises:
        FleetError: It may not be read, or there is nothing.
    """
    if sources.check(url).scheme == "file":
        return await asyncio.to_thread(sources.list_files, url)
    return await sources.list_pages(url)


async def _loaded(
    sources: Sources, pages: Sequence[Source]
) -> AsyncIterator[tuple[list[SourceDocument], list[Failure]]]:
    """Yield the pages, so many at a time that memory holds them, and those that could not be read."""
    for start in range(0, len(pages), _AT_ONCE):
        read = []
        failures = []
        for page in pages[start : start + _AT_ONCE]:
            try:
                read.append(await sources.load_page(page))
            except FleetError as error:
                failures.append(Failure(page.name, error.message))
        yield read, failures


def _add(total: IngestReport, report: IngestReport) -> None:
    total.added += report.added
    total.unchanged += report.unchanged
    total.replaced += report.replaced
    total.failures += report.failures
    total.chunks_written += report.chunks_written
    total.chunks_deleted += report.chunks_deleted
