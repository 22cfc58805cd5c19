"""Filling a collection from documents so that doing it again changes nothing.

A document is known by where it comes from, a chunk by its document, its place and its content. What is stored and
still the same is left alone; what is new is embedded and written; what a changed document no longer holds is deleted
afterwards, so that a search in between finds the old, the new or both, never nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from handler_base.config import RagSettings
from handler_base.deadline import Deadline
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InvalidRequestError,
    OverloadedError,
    UpstreamError,
    UpstreamUnavailableError,
)
from handler_base.rag.chunking import Chunker
from handler_base.rag.documents import SourceDocument, digest
from handler_base.rag.loaders import find_files, load_file, source_of
from handler_base.rag.store import Chunk, WritableVectorStore, check_dimension

__all__ = [
    "Failure",
    "IngestOptions",
    "IngestProgress",
    "IngestReport",
    "Ingestor",
    "Outcome",
    "PassageEmbedder",
    "chunks_of",
]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_WORTH_RETRYING: Final = (UpstreamUnavailableError, OverloadedError, DeadlineExceededError, UpstreamError)


class PassageEmbedder(Protocol):
    """What ingestion needs of the embeddings client."""

    async def embed(self, texts: Sequence[str], *, deadline: Deadline) -> list[list[float]]:
        """Return the embedding of each text, in their order."""
        ...


class Outcome(StrEnum):
    """What became of a document."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be ingested, and why, in words for people."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """One document is done.

    Attributes:
        done: Documents done so far, this one included.
        total: Documents in all.
        source: This document.
        outcome: What became of it.
        chunks: Chunks it has.
    """

    done: int
    total: int
    source: str
    outcome: Outcome
    chunks: int


@dataclass(slots=True)
class IngestReport:
    """What one run did.

    Attributes:
        added: Documents that were not stored before.
        unchanged: Documents of which every chunk was stored already.
        replaced: Documents of which chunks were written or deleted.
        failures: Documents that could not be ingested.
        chunks_written: Chunks that were embedded and written.
        chunks_deleted: Chunks that no longer belong to their document.
    """

    added: int = 0
    unchanged: int = 0
    replaced: int = 0
    failures: list[Failure] = field(default_factory=list)
    chunks_written: int = 0
    chunks_deleted: int = 0

    @property
    def documents(self) -> int:
        """Documents the run looked at."""
        return self.added + self.unchanged + self.replaced + len(self.failures)

    def count(self, outcome: Outcome) -> None:
        """Count one document that did not fail."""
        self.added += outcome is Outcome.ADDED
        self.unchanged += outcome is Outcome.UNCHANGED
        self.replaced += outcome is Outcome.REPLACED


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How documents are ingested.

    Attributes:
        passage_prefix: Put before a passage when it is embedded.
        model: Name of the embedding model: chunks of another one are embedded anew.
        batch_size: Chunks in one call.
        concurrency: Documents worked on at once.
        attempts: Most attempts at one call.
        call_timeout: Most time of one call.
        retry_delay: Mean delay before the second attempt; it doubles with each.
    """

    passage_prefix: str = ""
    model: str = ""
    batch_size: int = 32
    concurrency: int = 4
    attempts: int = 4
    call_timeout: timedelta = timedelta(seconds=60)
    retry_delay: timedelta = timedelta(milliseconds=300)

    @classmethod
    def from_settings(cls, settings: RagSettings) -> IngestOptions:
        """Read the options from the settings."""
        return cls(passage_prefix=settings.embeddings_passage_prefix, model=settings.embeddings_model)


@dataclass(frozen=True, slots=True)
class _Source:
    """A document that is still to be read, or is there already."""

    name: str
    read: Callable[[], SourceDocument]


def chunks_of(document: SourceDocument, chunker: Chunker, *, fingerprint: str = "") -> list[Chunk]:
    """Cut a document into its chunks, with the same ids in every run.

    Args:
        document: The document.
        chunker: How it is cut.
        fingerprint: What else an embedding depends on, such as the model; part of the content hash.

    Raises:
        InvalidRequestError: The document has no text: a document has at least one chunk.
    """
    chunks = []
    for position, passage in enumerate(chunker.split(document.text)):
        text, page = passage.with_headings, document.page_at(passage.start)
        content = digest(fingerprint, document.title, str(page), text)
        chunks.append(
            Chunk(
                chunk_id=digest("chunk", document.document_id, str(position), content),
                document_id=document.document_id,
                text=text,
                content_hash=content,
                title=document.title,
                source_url=document.source,
                position=position,
                page=page,
            )
        )
    if not chunks:
        raise InvalidRequestError("The document has no text.")
    return chunks


class Ingestor:
    """Reads documents, cuts them up, embeds the passages and keeps the collection in step.

    Args:
        store: Where the chunks go; it must be open.
        embeddings: Embeds the passages.
        chunker: Cuts documents up.
        options: Prefix, sizes and patience.
    """

    def __init__(
        self,
        store: WritableVectorStore,
        embeddings: PassageEmbedder,
        *,
        chunker: Chunker | None = None,
        options: IngestOptions | None = None,
    ) -> None:
        self._store = store
        self._embeddings = embeddings
        self._chunker = chunker or Chunker()
        self._options = options or IngestOptions()

    async def ingest(
        self,
        sources: Sequence[Path | SourceDocument],
        collection: str,
        *,
        root: Path | None = None,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """Bring a collection up to date with documents; documents that are not named stay as they are.

        Args:
            sources: Files, folders (read recursively, without hidden files), or documents.
            collection: Name of the collection; it is made when it is not there.
            root: What the identity of files is relative to; by default the current folder for what lies in it,
                and otherwise the folder that holds the path.
            progress: Called after each document.

        Raises:
            NotFoundError: There is nothing at a path.
            InvalidRequestError: The collection has another dimension or schema.
            UpstreamUnavailableError: The embeddings server or the store cannot be reached at all.
        """
        found = await asyncio.to_thread(_sources, sources, root)
        if not found:
            return IngestReport()
        dimension = await self._prepare(collection)
        run = _Run(self, collection, dimension, len(found), progress)
        async with asyncio.TaskGroup() as tasks:
            for source in found:
                await run.slots.acquire()
                tasks.create_task(run.take(source))
        if run.report.chunks_written or run.report.chunks_deleted:
            await self.patiently(lambda deadline: self._store.flush(collection, deadline=deadline))
        return run.report

    async def _prepare(self, collection: str) -> int:
        """Find out the model's dimension and make the collection for it."""
        vectors = await self.embed(["dimension"])
        dimension = len(vectors[0])
        await self.patiently(lambda deadline: self._store.create_collection(collection, dimension, deadline=deadline))
        return dimension

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed passages.

        Raises:
            UpstreamError: The server did not return one vector a text.
        """
        prefixed = [self._options.passage_prefix + text for text in texts]
        vectors = await self.patiently(lambda deadline: self._embeddings.embed(prefixed, deadline=deadline))
        if len(vectors) != len(texts):
            raise UpstreamError("The embeddings server did not embed every passage.")
        return vectors

    async def store_document(
        self, document: SourceDocument, collection: str, dimension: int, report: IngestReport
    ) -> tuple[Outcome, int]:
        """Write what is new of a document, then delete what is gone; return what became of it and its chunks."""
        fingerprint = digest(self._options.model, self._options.passage_prefix, str(dimension))
        chunks = await asyncio.to_thread(chunks_of, document, self._chunker, fingerprint=fingerprint)
        stored = await self.patiently(
            lambda deadline: self._store.stored_chunks(collection, document.document_id, deadline=deadline)
        )
        old = {chunk.chunk_id for chunk in stored}
        new = [chunk for chunk in chunks if chunk.chunk_id not in old]
        for start in range(0, len(new), self._options.batch_size):
            await self._write(new[start : start + self._options.batch_size], collection, dimension)
            report.chunks_written += len(new[start : start + self._options.batch_size])
        gone = sorted(old - {chunk.chunk_id for chunk in chunks})
        if gone:
            await self.patiently(lambda deadline: self._store.delete_chunks(collection, gone, deadline=deadline))
            report.chunks_deleted += len(gone)
        if not old:
            return Outcome.ADDED, len(chunks)
        return (Outcome.REPLACED if new or gone else Outcome.UNCHANGED), len(chunks)

    async def _write(self, batch: Sequence[Chunk], collection: str, dimension: int) -> None:
        vectors = await self.embed([_embedded_text(chunk) for chunk in batch])
        for vector in vectors:
            check_dimension(len(vector), dimension)
        await self.patiently(lambda deadline: self._store.upsert(collection, batch, vectors, deadline=deadline))

    async def patiently(self, call: Callable[[Deadline], Awaitable[_T]]) -> _T:
        """Make a call, again when it may work the next time; ingestion has time where a question has none."""
        for attempt in range(1, self._options.attempts):
            try:
                return await call(Deadline.after(self._options.call_timeout))
            except _WORTH_RETRYING as error:
                _log.info("ingestion tries again", extra={"attempt": attempt, "error_type": error.type.value})
            spread = random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries, keeps no secret
            await asyncio.sleep(self._options.retry_delay.total_seconds() * 2 ** (attempt - 1) * spread)
        return await call(Deadline.after(self._options.call_timeout))

    @property
    def concurrency(self) -> int:
        """Documents worked on at once."""
        return self._options.concurrency


class _Run:
    """One run over the documents: its slots, its report, its progress."""

    def __init__(
        self,
        ingestor: Ingestor,
        collection: str,
        dimension: int,
        total: int,
        progress: Callable[[IngestProgress], None] | None,
    ) -> None:
        self.slots = asyncio.Semaphore(ingestor.concurrency)
        self.report = IngestReport()
        self._ingestor = ingestor
        self._collection = collection
        self._dimension = dimension
        self._total = total
        self._progress = progress

    async def take(self, source: _Source) -> None:
        """Ingest one document; the slot was taken before and is given back."""
        try:
            document = await asyncio.to_thread(source.read)
            outcome, chunks = await self._ingestor.store_document(
                document, self._collection, self._dimension, self.report
            )
            self.report.count(outcome)
        except FleetError as error:
            outcome, chunks = Outcome.FAILED, 0
            self.report.failures.append(Failure(source.name, error.message))
        finally:
            self.slots.release()
        if self._progress is not None:
            self._progress(IngestProgress(self.report.documents, self._total, source.name, outcome, chunks))


def _embedded_text(chunk: Chunk) -> str:
    """Return what is embedded of a chunk: its text under the title, which often says what the text is about."""
    return chunk.text if chunk.text.startswith(chunk.title) else f"{chunk.title}\n{chunk.text}"


def _sources(given: Sequence[Path | SourceDocument], root: Path | None) -> list[_Source]:
    """Return what is to be ingested, each document once."""
    found: dict[str, _Source] = {}
    for item in given:
        if isinstance(item, SourceDocument):
            found.setdefault(item.source, _Source(item.source, partial(_same, item)))
            continue
        base = root or _default_root(item)
        for path in find_files(item):
            name = source_of(path, base)
            found.setdefault(name, _Source(name, partial(load_file, path, name)))
    return list(found.values())


def _same(document: SourceDocument) -> SourceDocument:
    return document


def _default_root(path: Path) -> Path:
    here = Path.cwd()
    return here if path.resolve().is_relative_to(here.resolve()) else path.resolve().parent
