"""The steps of the Kubeflow pipelines, one after the other, as their containers run them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_base.testing.inference import FakeLLM, FakeReranker, FakeSTT, FakeTTS
from handler_base.testing.milvus import MilvusLite, MilvusRestFront
from pipeline_bridge.steps import document_ingestion
from pipeline_bridge.steps.kubeflow import main

from .conftest import RunStep


@pytest.fixture
async def servers(
    folder: Path, collection: str, milvus: MilvusLite, run_step: RunStep, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Everything that the steps call; yields the name of a collection with one document."""
    (folder / "ferry.md").write_text("# Ferry\n\nThe first ferry leaves the harbour at six.\n", "utf-8")
    await run_step(document_ingestion.run, source_url=f"file://{folder}", collection=collection)
    async with (
        MilvusRestFront(milvus.uri) as front,
        FakeReranker() as reranker,
        FakeLLM() as llm,
        FakeSTT() as stt,
        FakeTTS() as tts,
    ):
        for name, url in (
            *(("RERANKER_URL", reranker.url), ("VLLM_URL", llm.url)),
            *(("WHISPER_URL", stt.url), ("TTS_URL", tts.url)),
        ):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("MILVUS_API", "rest")
        monkeypatch.setenv("MILVUS_PORT", front.url.rpartition(":")[2])
        yield collection


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def test_a_recording_is_understood_answered_and_spoken(servers: str, folder: Path, tmp_path: Path) -> None:
    (folder / "question.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    made = tmp_path / "not there yet"
    transcript, passages, text, speech = (made / name for name in ("transcript", "passages", "answer", "speech"))
    url = f"file://{folder}/question.wav"
    assert await run("transcribe", f"--audio-url={url}", "--language=en", f"--transcript={transcript}") == 0
    heard = transcript.read_text("utf-8")
    assert heard
    assert (
        await run("retrieve", f"--question={heard}", f"--collection={servers}", "--top-k=2", f"--passages={passages}")
        == 0
    )
    assert await run("answer", "--language=en", f"--passages={passages}", f"--answer={text}") == 0
    answered = text.read_text("utf-8")
    assert answered
    assert await run("speak", f"--text={answered}", "--voice=", "--language=en", f"--speech={speech}") == 0
    assert speech.read_bytes()[:4] == b"RIFF"


async def test_passages_hold_what_was_found(servers: str, tmp_path: Path) -> None:
    passages = tmp_path / "passages"
    question = "--top-k=9 when does the first ferry leave the harbour"
    given = (f"--question={question}", f"--collection={servers}", "--top-k=2", f"--passages={passages}")
    assert await run("retrieve", *given) == 0
    assert b"leaves the harbour at six" in passages.read_bytes()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (("transcribe", "--audio-url=file:///etc/x.wav", "--language=en", "--transcript=t"), "permission_denied"),
        (("transcribe", "--audio-url=file:///etc/x.flac", "--language=en", "--transcript=t"), "unsupported_format"),
        (("retrieve", "--question= ", "--collection=c", "--top-k=1", "--passages=p"), "invalid_request"),
        (("retrieve", "--question=q", "--collection=no name", "--top-k=1", "--passages=p"), "invalid_request"),
        (("speak", "--text=**", "--voice=", "--language=en", "--speech=s"), "invalid_request"),
    ],
)
async def test_what_cannot_be_done_is_told(
    folder: Path, step: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    assert await run(*step) == 1
    assert f"({told})" in capsys.readouterr().err


async def test_documents_that_cannot_be_searched_fail_the_step(
    servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del servers
    given = ("--question=q", "--collection=nothing", "--top-k=1", f"--passages={tmp_path / 'passages'}")
    assert await run("retrieve", *given) == 1
    assert "The documents cannot be searched" in capsys.readouterr().err
