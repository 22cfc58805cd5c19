"""A voice assistant on a real nats-server and a real Milvus Lite, with fake model servers on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_base.handler import Service
from handler_base.testing.inference import EmbeddingsScript, FakeEmbeddings, FakeLLM, FakeReranker, FakeSTT, FakeTTS
from handler_base.testing.island import DIMENSION, fill_island
from handler_base.testing.milvus import MilvusLite, MilvusRestFront, milvus_lite
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.redis_server import RedisServer
from handler_base.testing.services import StartService, services
from handler_base.testing.voice_caller import VoiceCaller, voice_caller
from voice_assistant import VoiceHandler, VoiceSettings


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    """Milvus Lite with a collection."""
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as server:
        asyncio.run(fill_island(server.uri, "knowledge_base"))
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
async def stt() -> AsyncIterator[FakeSTT]:
    async with FakeSTT() as server:
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
def model_urls(
    llm: FakeLLM, embeddings: FakeEmbeddings, reranker: FakeReranker, stt: FakeSTT, tts: FakeTTS
) -> dict[str, str]:
    return {
        "vllm_url": llm.url,
        "embeddings_url": embeddings.url,
        "reranker_url": reranker.url,
        "whisper_url": stt.url,
        "tts_url": tts.url,
    }


@pytest.fixture
def start(start_bare: StartService, front: MilvusRestFront) -> StartService:
    """Start voice assistants at the servers of the test; all of them are stopped at the end."""

    async def start_one(**values: object) -> Service:
        return await start_bare(**{"milvus_port": front.port, **values})

    return start_one


@pytest.fixture
async def start_bare(nats: NatsServer, model_urls: dict[str, str]) -> AsyncIterator[StartService]:
    """The same without documents, which take long to start."""
    async with services(
        VoiceHandler,
        VoiceSettings,
        nats_url=nats.url,
        **model_urls,
        milvus_host="127.0.0.1",
        milvus_port=1,
        llm_model="fake-model",
        redis_url="",
        max_deliver=1,
    ) as start_one:
        yield start_one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[VoiceCaller]:
    async with voice_caller(nats.url) as connected:
        yield connected


@pytest.fixture
async def voice(start: StartService, caller: VoiceCaller) -> VoiceCaller:
    """A caller of a voice assistant with the settings a test has when it names none."""
    await start()
    return caller
