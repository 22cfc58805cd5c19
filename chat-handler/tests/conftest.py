"""A chat handler on a real nats-server and a real Milvus Lite, with fake model servers on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat_handler import ChatHandler, ChatSettings
from handler_base.testing.chat_caller import ChatCaller, chat_caller
from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings, FakeLLM, FakeReranker, FakeTTS
from handler_base.testing.island import DIMENSION, fill_island
from handler_base.testing.milvus import MilvusLite, MilvusRestFront, milvus_lite
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.services import StartService, services


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    """Milvus Lite with two collections of the same passages."""
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as server:
        for collection in ("knowledge_base", "other_base"):
            asyncio.run(fill_island(server.uri, collection))
        yield server


@pytest.fixture
async def front(milvus: MilvusLite) -> AsyncIterator[MilvusRestFront]:
    async with MilvusRestFront(milvus.uri) as running:
        yield running


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM() as server:
        yield server


@pytest.fixture
async def embeddings() -> AsyncIterator[FakeEmbeddings]:
    async with FakeEmbeddings(EmbeddingsScript(dimension=DIMENSION)) as server:
        yield server


@pytest.fixture
async def reranker() -> AsyncIterator[FakeReranker]:
    async with FakeReranker() as server:
        yield server


@pytest.fixture
async def tts() -> AsyncIterator[FakeTTS]:
    async with FakeTTS() as server:
        yield server


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def model_urls(llm: FakeLLM, embeddings: FakeEmbeddings, reranker: FakeReranker, tts: FakeTTS) -> dict[str, str]:
    return {
        "vllm_url": llm.url,
        "embeddings_url": embeddings.url,
        "reranker_url": reranker.url,
        "tts_url": tts.url,
    }


@pytest.fixture
async def start(nats: NatsServer, front: MilvusRestFront, model_urls: dict[str, str]) -> AsyncIterator[StartService]:
    """Start chat handlers at the servers of the test; all of them are stopped at the end."""
    async with services(
        ChatHandler,
        ChatSettings,
        nats_url=nats.url,
        **model_urls,
        milvus_host="127.0.0.1",
        milvus_port=front.port,
        llm_model="fake-model",
        redis_url="",
        archive_mode="off",
        max_deliver=1,
    ) as start_one:
        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[ChatCaller]:
    async with chat_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def chat(start: StartService, caller: ChatCaller) -> ChatCaller:
    """A caller of a chat handler with the settings a test has when it names none."""
    await start()
    return caller
