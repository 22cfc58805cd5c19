"""Retrieval-augmented generation: the vector store, retrieval, the prompt with its citations, and ingestion.

Nothing here loads pymilvus, grpc, pandas or numpy before a `PyMilvusStore` is opened, nor pypdf before a PDF is read.
"""

from __future__ import annotations

from handler_base.rag.chunking import Chunker, Passage
from handler_base.rag.citations import CitationFilter, CitedAnswer, citations
from handler_base.rag.documents import SourceDocument
from handler_base.rag.follow_ups import QueryRewriter, contextual_query, needs_context
from handler_base.rag.history import Summariser, turns_to_summarise
from handler_base.rag.ingestion import (
    Failure,
    IngestOptions,
    Ingestor,
    IngestProgress,
    IngestReport,
    Outcome,
    chunks_of,
)
from handler_base.rag.loaders import load_file
from handler_base.rag.milvus_grpc import PyMilvusStore
from handler_base.rag.milvus_rest import RestVectorStore
from handler_base.rag.prompt import HistoryTurn, Prompt, PromptBudgets, build_prompt
from handler_base.rag.retrieval import EmbeddedAhead, Grounding, Retrieval, RetrievalOptions, Retriever
from handler_base.rag.store import Chunk, CollectionInfo, Hit, StoredChunk, VectorStore, WritableVectorStore
from handler_base.rag.stores import vector_store, writable_store
from handler_base.rag.tokens import TokenCounter, estimate_tokens, truncate_tokens

__all__ = [
    "Chunk",
    "Chunker",
    "CitationFilter",
    "CitedAnswer",
    "CollectionInfo",
    "EmbeddedAhead",
    "Failure",
    "Grounding",
    "HistoryTurn",
    "Hit",
    "IngestOptions",
    "IngestProgress",
    "IngestReport",
    "Ingestor",
    "Outcome",
    "Passage",
    "Prompt",
    "PromptBudgets",
    "PyMilvusStore",
    "QueryRewriter",
    "RestVectorStore",
    "Retrieval",
    "RetrievalOptions",
    "Retriever",
    "SourceDocument",
    "StoredChunk",
    "Summariser",
    "TokenCounter",
    "VectorStore",
    "WritableVectorStore",
    "build_prompt",
    "chunks_of",
    "citations",
    "contextual_query",
    "estimate_tokens",
    "load_file",
    "needs_context",
    "truncate_tokens",
    "turns_to_summarise",
    "vector_store",
    "writable_store",
]
