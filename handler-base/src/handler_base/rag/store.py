"""What the fleet asks of a vector store, and the entities that live in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import msgspec

from handler_base.clients import RawVector
from handler_base.deadline import Deadline
from handler_base.errors import InternalError, InvalidRequestError

__all__ = [
    "MAX_LIMIT",
    "Chunk",
    "CollectionInfo",
    "Hit",
    "StoredChunk",
    "VectorStore",
    "WritableVectorStore",
    "check_collection_name",
    "check_dimension",
    "check_limit",
]

MAX_LIMIT: Final = 1000
"""Most hits one search may ask for; far more than a prompt can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of exactly one document.

    Attributes:
        chunk_id: Identity within the collection; the same content at the same place has the same id.
        document_id: The one document this passage belongs to.
        text: The passage.
        content_hash: Hash of the text and what is embedded with it; tells whether a stored chunk is current.
        title: Title of the document.
        source_url: Where the document comes from: a URL, or a path relative to the ingested folder.
        position: Place among the chunks of the document, from 0.
        page: Page the passage begins on, from 1; 0 where the document has no pages.
    """

    chunk_id: str
    document_id: str
    text: str
    content_hash: str = ""
    title: str = ""
    source_url: str = ""
    position: int = 0
    page: int = 0

    def __post_init__(self) -> None:
        """Check the invariants.

        Raises:
            InvalidRequestError: An id or the text is empty, or a number is negative.
        """
        if not self.chunk_id or not self.document_id:
            raise InvalidRequestError("A chunk needs an id and belongs to exactly one document.")
        if not self.text.strip():
            raise InvalidRequestError("A chunk needs text.")
        if self.position < 0 or self.page < 0:
            raise InvalidRequestError("The position and the page of a chunk are not negative.")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What tells one stored chunk from another without reading its text."""

    chunk_id: str
    content_hash: str


class Hit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A passage that a search found; `score` is higher for a better match, on the scale of whoever ranked last."""

    chunk_id: str
    document_id: str
    text: str
    title: str = ""
    source_url: str = ""
    position: int = 0
    page: int = 0
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the store describes it.

    Attributes:
        name: Name of the collection.
        dimension: Length of its dense vectors.
        count: Chunks in it, as far as the store knows; -1 when it would not say.
        lexical: Whether the store can match words (BM25) in it, and so search hybrid.
    """

    name: str
    dimension: int
    count: int
    lexical: bool


@runtime_checkable
class VectorStore(Protocol):
    """The search side of a store, all a service needs."""

    @property
    def available(self) -> bool:
        """Whether the store answered when it was last called; true before the first call."""
        ...

    async def open(self) -> None:
        """Make ready for calls; the store need not be there yet."""
        ...

    async def close(self) -> None:
        """Give back what `open` took."""
        ...

    async def describe(self, collection: str, *, deadline: Deadline) -> CollectionInfo:
        """Describe one collection.

        Raises:
            NotFoundError: There is no such collection.
            UpstreamUnavailableError: The store cannot be reached.
        """
        ...

    async def collections(self, *, deadline: Deadline) -> list[str]:
        """Return the names of the collections, sorted."""
        ...

    async def search(
        self,
        collection: str,
        *,
        vector: RawVector | Sequence[float] | None,
        text: str | None,
        limit: int,
        deadline: Deadline,
    ) -> list[Hit]:
        """Find the passages nearest to a question, best first.

        With `vector` and `text` the dense and the BM25 ranking are fused by reciprocal rank; with one of
        them that ranking alone is used. A collection that cannot match words is searched by vector alone.

        Args:
            collection: Name of the collection.
            vector: The embedded question, or None.
            text: The words of the question, or None.
            limit: Most hits, 1 to `MAX_LIMIT`.
            deadline: When the answer is due.

        Raises:
            InvalidRequestError: `limit` is out of range, or nothing to search by was given.
            NotFoundError: There is no such collection.
            InternalError: The vector does not have the collection's dimension.
            DeadlineExceededError: The deadline passed.
            UpstreamUnavailableError: The store cannot be reached.
        """
        ...


@runtime_checkable
class WritableVectorStore(VectorStore, Protocol):
    """A store that can also be filled."""

    async def create_collection(self, collection: str, dimension: int, *, deadline: Deadline) -> CollectionInfo:
        """Make the collection unless it exists, loaded and ready for hybrid search.

        Raises:
            InvalidRequestError: The collection exists with another dimension, or is not one of ours.
        """
        ...

    async def upsert(
        self, collection: str, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]], *, deadline: Deadline
    ) -> None:
        """Write chunks with their vectors, replacing those of the same id.

        Raises:
            InvalidRequestError: There are not as many vectors as chunks.
            InternalError: A vector does not have the collection's dimension.
        """
        ...

    async def stored_chunks(self, collection: str, document_id: str, *, deadline: Deadline) -> list[StoredChunk]:
        """Return what is stored of one document."""
        ...

    async def delete_chunks(self, collection: str, chunk_ids: Sequence[str], *, deadline: Deadline) -> None:
        """Delete chunks by id; ids that are not there are passed over."""
        ...

    async def delete_document(self, collection: str, document_id: str, *, deadline: Deadline) -> None:
        """Delete every chunk of one document."""
        ...

    async def flush(self, collection: str, *, deadline: Deadline) -> None:
        """Make what was written durable and fast to search."""
        ...


def check_collection_name(collection: str) -> None:
    """Refuse what no store takes as a name, before it reaches a request body or a filter.

    Raises:
        InvalidRequestError: The name is not a letter or underscore followed by up to 254 letters, digits, underscores.
    """
    plain = collection.replace("_", "a")
    if not (plain.isascii() and plain.isalnum() and not plain[0].isdigit() and len(plain) <= 255):
        raise InvalidRequestError("The collection name is not valid.")


def check_limit(limit: int) -> None:
    """Refuse a number of hits that is out of range.

    Raises:
        InvalidRequestError: `limit` is not 1 to `MAX_LIMIT`.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequestError(f"The number of passages must be 1 to {MAX_LIMIT}.")


def check_dimension(given: int, expected: int) -> None:
    """Refuse a vector of another model.

    Raises:
        InternalError: The dimensions differ: a fault of the set-up, never of the person who asked.
    """
    if given != expected:
        raise InternalError(f"The embedding has {given} dimensions where the collection has {expected}.")
