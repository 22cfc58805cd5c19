"""Which store the settings ask for."""

from __future__ import annotations

from handler_base.clients import HttpEndpoints, HttpPool
from handler_base.config import RagSettings
from handler_base.rag.milvus_grpc import PyMilvusStore
from handler_base.rag.milvus_rest import RestVectorStore
from handler_base.rag.store import VectorStore, WritableVectorStore

__all__ = ["vector_store", "writable_store"]


def vector_store(settings: RagSettings, pool: HttpPool) -> VectorStore:
    """Return the store a service searches in: REST v2, or gRPC where `MILVUS_API` says so."""
    if settings.milvus_api == "grpc":
        return writable_store(settings)
    token = settings.milvus_token.get_secret_value()
    http = HttpEndpoints("milvus", [_url(settings)], pool=pool, api_key=token)
    return RestVectorStore(http, database=settings.milvus_database)


def writable_store(settings: RagSettings) -> WritableVectorStore:
    """Return the store documents are ingested into, over gRPC."""
    token = settings.milvus_token.get_secret_value()
    return PyMilvusStore(_url(settings), token=token, database=settings.milvus_database)


def _url(settings: RagSettings) -> str:
    host = settings.milvus_host
    scheme = "" if "://" in host else "http://"
    return f"{scheme}{host}:{settings.milvus_port}"
