"""Retrieval with real clients and a real store: what it finds, and what it does when a part is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import pytest

from handler_base.clients import HttpPool, embeddings_client, reranker_client
from handler_base.config import RagSettings
from handler_base.deadline import Deadline
from handler_base.errors import InvalidRequestError
from handler_base.rag import Grounding, Retrieval, RetrievalOptions, Retriever, VectorStore, vector_store
from handler_base.telemetry import Stages
from handler_base.testing.milvus import MilvusRestFront


class ModelServer(Protocol):
    """What the tests turn on the server of the conftest."""

    scores: dict[str, float]
    dimension: int
    broken: dict[str, int]
    hanging: set[str]
    embedded: list[str]


@pytest.fixture
def retriever(rag_settings: RagSettings, pool: HttpPool, rest_store: VectorStore) -> Retriever:
    return Retriever(
        embeddings_client(rag_settings, pool),
        rest_store,
        reranker_client(rag_settings, pool),
        RetrievalOptions.from_settings(rag_settings),
    )


def found(retrieval: Retrieval) -> list[str]:
    return [hit.chunk_id for hit in retrieval.hits]


async def test_passages_are_found_reranked_and_cut(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.scores = {"lighthouse": 0.2, "ferry": 0.9, "Bees": 0.6}
    stages = Stages()

    retrieval = await retriever.retrieve(
        "When is the lamp lit?", collection=shared, top_k=4, rerank_top_k=2, deadline=deadline, stages=stages
    )

    assert found(retrieval) == ["chunk-1", "chunk-2"]
    assert [hit.score for hit in retrieval.hits] == [0.9, 0.6]
    assert (retrieval.used_rag, retrieval.reranked, retrieval.notes) == (True, True, ())
    assert list(stages.timings_ms) == ["embed", "search", "rerank"]
    assert model_server.embedded == ["query: When is the lamp lit?"]


async def test_top_k_bounds_what_is_reranked(retriever: Retriever, shared: str, deadline: Deadline) -> None:
    retrieval = await retriever.retrieve("lamp", collection=shared, top_k=1, rerank_top_k=3, deadline=deadline)

    assert found(retrieval) == ["chunk-0"]


async def test_without_reranking_the_fused_order_stays(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.scores = {"ferry": 1.0}

    retrieval = await retriever.retrieve("the lamp", collection=shared, top_k=3, rerank=False, deadline=deadline)

    assert found(retrieval)[0] == "chunk-0"
    assert (len(retrieval.hits), retrieval.reranked, retrieval.notes) == (3, False, ())


async def test_passages_that_are_not_relevant_are_left_out(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.scores = dict.fromkeys(("lighthouse", "ferry", "Bees", "archive"), 0.001)

    retrieval = await retriever.retrieve("Who won the match?", collection=shared, deadline=deadline)

    assert (retrieval.hits, retrieval.grounding, retrieval.used_rag) == ((), Grounding.NOTHING_FOUND, False)


@pytest.mark.parametrize("failure", ["hangs", "fails"])
async def test_a_late_or_broken_reranker_is_skipped_and_comes_back(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline, failure: str
) -> None:
    if failure == "hangs":
        model_server.hanging = {"/rerank"}
    model_server.broken = {"/rerank": 1 if failure == "fails" else 0}

    retrieval = await retriever.retrieve("lamp", collection=shared, top_k=4, rerank_top_k=1, deadline=deadline)

    expected = {"hangs": "rerank: deadline_exceeded", "fails": "rerank: upstream_error"}[failure]
    assert (retrieval.used_rag, retrieval.reranked, retrieval.notes) == (True, False, (expected,))
    assert len(retrieval.hits) == 4, "the cut is the reranker's"

    model_server.hanging = set()
    again = await retriever.retrieve("lamp", collection=shared, rerank_top_k=1, deadline=deadline)
    assert (len(again.hits), again.reranked, again.notes) == (1, True, ())


async def test_without_embeddings_words_still_find(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.broken = {"/embed": 1}

    retrieval = await retriever.retrieve("honey from bees", collection=shared, deadline=deadline)

    assert (found(retrieval), retrieval.used_rag) == (["chunk-2"], True)
    assert retrieval.notes == ("embed: upstream_error",)


async def test_hanging_embeddings_leave_time_for_words(
    rag_settings: RagSettings, pool: HttpPool, rest_store: VectorStore, model_server: ModelServer, shared: str
) -> None:
    model_server.hanging = {"/embed"}
    retriever = Retriever(
        embeddings_client(rag_settings, pool), rest_store, None, RetrievalOptions(timeout=timedelta(seconds=0.8))
    )

    retrieval = await retriever.retrieve("honey", collection=shared, deadline=Deadline.after(timedelta(seconds=9)))

    assert found(retrieval) == ["chunk-2"]
    assert retrieval.notes == ("embed: deadline_exceeded",)


async def test_an_unknown_collection_leaves_the_answer_without_documents(
    retriever: Retriever, deadline: Deadline
) -> None:
    retrieval = await retriever.retrieve("lamp", collection="nowhere", deadline=deadline)

    assert (retrieval.hits, retrieval.grounding) == ((), Grounding.UNAVAILABLE)
    assert retrieval.notes == ("search: not_found",)


async def test_embeddings_of_another_model_leave_the_answer_without_documents(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.dimension = 7

    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=deadline)

    assert (retrieval.grounding, retrieval.notes) == (Grounding.UNAVAILABLE, ("search: internal",))


async def test_a_store_that_is_away_degrades_and_comes_back(
    retriever: Retriever, front: MilvusRestFront, shared: str, deadline: Deadline
) -> None:
    port = front.port
    await front.stop()

    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=deadline)
    assert (retrieval.grounding, retrieval.notes) == (Grounding.UNAVAILABLE, ("search: upstream_unavailable",))

    async with MilvusRestFront(front.lite_uri, port=port):
        again = await retriever.retrieve("lamp", collection=shared, deadline=deadline)
    assert again.used_rag is True


async def test_a_spent_budget_costs_no_time(retriever: Retriever, shared: str) -> None:
    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=Deadline.after(timedelta(0)))

    assert retrieval.grounding is Grounding.UNAVAILABLE
    assert retrieval.notes == ("embed: deadline_exceeded", "search: deadline_exceeded")


@pytest.mark.parametrize(("collection", "top_k"), [("a b", 3), ("shared", 0), ("shared", 5000)])
async def test_what_the_caller_got_wrong_is_an_error(
    retriever: Retriever, deadline: Deadline, collection: str, top_k: int
) -> None:
    with pytest.raises(InvalidRequestError):
        await retriever.retrieve("lamp", collection=collection, top_k=top_k, deadline=deadline)


@pytest.mark.parametrize("api", ["rest", "grpc"])
async def test_the_settings_choose_the_store(
    *, rag_settings: RagSettings, pool: HttpPool, front: MilvusRestFront, shared: str, deadline: Deadline, api: str
) -> None:
    port = front.port if api == "rest" else int(front.lite_uri.rsplit(":", 1)[1])
    settings = rag_settings.model_copy(update={"milvus_host": "127.0.0.1", "milvus_port": port, "milvus_api": api})
    store = vector_store(settings, pool)

    await store.open()
    try:
        assert shared in await store.collections(deadline=deadline)
        assert store.available is True
    finally:
        await store.close()


async def test_an_embedding_asked_for_ahead_is_not_asked_for_again(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    ahead = retriever.ahead("lamp", deadline=deadline)
    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=deadline, ahead=ahead)
    ahead.close()

    assert found(retrieval)[0] == "chunk-0"
    assert model_server.embedded == ["query: lamp"]


async def test_an_embedding_ahead_of_another_question_is_passed_over(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    ahead = retriever.ahead("bees", deadline=deadline)
    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=deadline, ahead=ahead)
    ahead.close()

    assert found(retrieval)[0] == "chunk-0"
    assert "query: lamp" in model_server.embedded


async def test_an_embedding_ahead_that_fails_is_a_step_that_fails(
    retriever: Retriever, model_server: ModelServer, shared: str, deadline: Deadline
) -> None:
    model_server.broken = {"/embed": 100}
    ahead = retriever.ahead("lamp", deadline=deadline)
    unwanted = retriever.ahead("bees", deadline=deadline)
    retrieval = await retriever.retrieve("lamp", collection=shared, deadline=deadline, ahead=ahead)
    ahead.close()
    unwanted.close()

    assert retrieval.used_rag
    assert retrieval.notes[0].startswith("embed: ")
