"""Retrieval-augmented generation: the vector store, retrieval, the prompt with its citations, and ingestion.

Nothing here loads pymilvus, grpc, pandas or numpy before a `PyMilvusStore` is used, nor pypdf before a PDF is read.
"""

from __future__ import annotations

from handler_base.rag.citations import CitationFilter, CitedAnswer, citations
from handler_base.rag.milvus_grpc import PyMilvusStore
from handler_base.rag.milvus_rest import RestVectorStore
from handler_base.rag.prompt import HistoryTurn, Prompt, PromptBudgets, build_prompt
from handler_base.rag.retrieval import Grounding, Retrieval, RetrievalOptions, Retriever
from handler_base.rag.store import Chunk, CollectionInfo, Hit, StoredChunk, VectorStore, WritableVectorStore
from handler_base.rag.stores import vector_store, writable_store
from handler_base.rag.tokens import TokenCounter, estimate_tokens, truncate_tokens

__all__ = [
    "Chunk",
    "CitationFilter",
    "CitedAnswer",
    "CollectionInfo",
    "Grounding",
    "HistoryTurn",
    "Hit",
    "Prompt",
    "PromptBudgets",
    "PyMilvusStore",
    "RestVectorStore",
    "Retrieval",
    "RetrievalOptions",
    "Retriever",
    "StoredChunk",
    "TokenCounter",
    "VectorStore",
    "WritableVectorStore",
    "build_prompt",
    "citations",
    "estimate_tokens",
    "truncate_tokens",
    "vector_store",
    "writable_store",
]
