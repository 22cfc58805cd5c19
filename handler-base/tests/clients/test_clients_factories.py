from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import get_args

import pytest
from pydantic import SecretStr

from handler_base import clients
from handler_base.clients import (
    ChatMessage,
    HttpPool,
    embeddings_client,
    llm_client,
    reranker_client,
    stt_client,
    tts_client,
)
from handler_base.config import InferenceSettings
from handler_base.deadline import Deadline
from handler_base.testing.inference import (
    EmbeddingsScript,
    FakeEmbeddings,
    FakeLLM,
    FakeReranker,
    FakeSTT,
    FakeTTS,
    wav_file,
)


async def test_the_settings_make_all_clients(pool: HttpPool, soon: Deadline) -> None:
    async with (
        FakeLLM() as llm,
        FakeEmbeddings(EmbeddingsScript(dimension=8)) as embeddings,
        FakeReranker() as reranker,
        FakeSTT() as stt,
        FakeTTS() as tts,
    ):
        settings = InferenceSettings(
            vllm_url=f"http://127.0.0.1:9,{llm.url}/v1",
            vllm_api_key=SecretStr("key"),
            llm_model="m",
            llm_max_tokens=5,
            llm_temperature=0.9,
            embeddings_url=embeddings.url,
            reranker_url=f"{reranker.url}/rerank",
            whisper_url=stt.url,
            tts_url=tts.url,
            tts_voice="anna",
            tts_model="kokoro",
        )
        completion = await llm_client(settings, pool).complete([ChatMessage("user", "Hello")], deadline=soon)
        assert completion.text == llm.text
        assert llm.requests[-1].headers["authorization"] == "Bearer key"
        body = llm.requests[-1].json
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 5, 0.9)
        assert (await embeddings_client(settings, pool).embed_raw("a", deadline=soon)).dimension == 8
        assert await reranker_client(settings, pool).rerank("a", ["a"], deadline=soon) == [1.0]
        recording = wav_file(b"\x00\x00", 16_000)
        assert (await stt_client(settings, pool).transcribe(recording, deadline=soon)).text == "What is NATS?"
        assert (await tts_client(settings, pool).synthesize("Hello", deadline=soon)).audio_format == "wav"
        assert (tts.requests[-1].json["voice"], tts.requests[-1].json["model"]) == ("anna", "kokoro")


_CLIENTS: dict[str, Callable[[InferenceSettings, HttpPool], object]] = {
    "llm_dialect": llm_client,
    "embeddings_dialect": embeddings_client,
    "reranker_dialect": reranker_client,
    "whisper_dialect": stt_client,
    "tts_dialect": tts_client,
}


@pytest.mark.parametrize("field", _CLIENTS)
def test_each_dialect_of_the_settings_has_a_client(field: str) -> None:
    for name in get_args(InferenceSettings.model_fields[field].annotation):
        _CLIENTS[field](InferenceSettings.model_validate({field: name}), HttpPool())


def test_everything_public_is_there() -> None:
    assert sorted(clients.__all__) == clients.__all__
    assert all(hasattr(clients, name) for name in clients.__all__)


def test_the_clients_load_nothing_heavy() -> None:
    heavy = "{'numpy', 'pandas', 'grpc', 'httpx', 'opentelemetry'}"
    script = f"import sys, handler_base.clients; print(*{heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
