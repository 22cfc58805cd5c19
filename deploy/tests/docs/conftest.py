"""A chat handler in this process, on a real nats-server, with a fake model and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chat_handler import ChatHandler, ChatSettings
from handler_base.handler import Service
from handler_base.testing.inference import FakeLLM
from handler_base.testing.nats_server import NatsServer, free_port


@pytest.fixture
async def chat_url() -> AsyncIterator[str]:
    """Address of a nats-server on which a chat handler answers without documents and memory."""
    with NatsServer() as nats:
        async with FakeLLM() as llm:
            nowhere = f"http://127.0.0.1:{free_port()}"
            settings = ChatSettings(
                _env_file=None,
                nats_url=nats.url,
                vllm_url=llm.url,
                llm_model="fake-model",
                embeddings_url=nowhere,
                reranker_url=nowhere,
                milvus_host="127.0.0.1",
                milvus_port=free_port(),
                redis_url="",
                health_host="127.0.0.1",
                health_port=0,
            )
            service = Service(ChatHandler(settings))
            await service.start()
            try:
                yield nats.url
            finally:
                await service.stop()
