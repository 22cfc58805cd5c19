"""The whole local stack, spoken to: a recorded question gets a spoken answer from the right document."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import av
import pytest
from dotenv import dotenv_values

from deploy.local.inference.speech_engines import find_flite
from deploy.local.parts import find_program
from deploy.local.question import QUESTION, RECORDING
from deploy.tests.stack.conftest import ROOT, health_ports
from handler_base.clients import HttpPool, stt_client
from handler_base.config import InferenceSettings
from handler_base.deadline import Deadline
from handler_base.messages import ChatRequest
from handler_base.testing.chat_caller import chat_caller
from handler_base.testing.nats_server import free_port

UP = "Ctrl-C stops everything."
PORTS = ("NATS_PORT", "MILVUS_PORT", "REDIS_PORT", "INFERENCE_PORT")
CODECS = {"webm": ("libopus", 48_000), "mp3": ("libmp3lame", 44_100)}
MODELS = ("stt", "embed", "rerank", "llm", "speech")
MOST_WRONG = 0.15
LONGEST_BESIDE_MODELS = 3000.0
"""Milliseconds of an answer that no model takes; the rest is theirs."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running stack with three documents, one of which answers; gives the addresses that it wrote down."""
    folder = tmp_path_factory.mktemp("stack")
    documents = folder / "documents"
    documents.mkdir()
    for name in ("observatory.html", "ferry.md", "water.md"):
        shutil.copy(ROOT / "deploy" / "local" / "corpus" / "handbook" / name, documents)
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}},
        **{name: str(free_port()) for name in PORTS},
        "HEALTH_PORT_BASE": health_ports(),
        "LOCAL_DIR": str(folder / "state"),
        "LOCAL_CORPUS": str(documents),
    }
    command = (sys.executable, "-u", "-m", "deploy.local")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line.rstrip() == UP for line in process.stdout)
            yield {name: value or "" for name, value in dotenv_values(folder / "state" / "env").items()}
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


def recording(audio_format: str) -> bytes:
    """The question that comes with the project, in a format."""
    if audio_format == "wav":
        return RECORDING.read_bytes()
    codec, rate = CODECS[audio_format]
    file = io.BytesIO()
    with av.open(str(RECORDING)) as source, av.open(file, "w", format=audio_format) as target:
        stream = cast("Any", target.add_stream(codec, rate=rate, layout="mono"))
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or None)
        for frame in (*source.decode(audio=0), None):
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return file.getvalue()


async def begin(stack: dict[str, str], folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start the command."""
    return await asyncio.create_subprocess_exec(
        *(find_program("fleet"), *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NATS_URL": stack["NATS_URL"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def fleet(stack: dict[str, str], folder: Path, *arguments: str) -> str:
    """Run the command; return what it printed."""
    process = await begin(stack, folder, *arguments)
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def heard_in(stack: dict[str, str], audio: bytes) -> list[str]:
    """The words that the recogniser of the stack hears."""
    pool = HttpPool()
    await pool.open()
    client = stt_client(InferenceSettings(whisper_url=stack["WHISPER_URL"]), pool)
    try:
        heard = await client.transcribe(audio, language="en", deadline=Deadline.after(timedelta(seconds=20)))
    finally:
        await pool.close()
    return words(heard.text)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\[\d+\]", " ", text.lower()))


def wrong(said: list[str], heard: list[str]) -> int:
    """How many words have to be changed, put in or left out."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        before, row[0] = row[0], count
        for index, other in enumerate(heard, 1):
            before, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, before + (word != other))
    return row[-1]


async def test_a_written_question_is_answered_from_the_right_document(stack: dict[str, str]) -> None:
    async with chat_caller(stack["NATS_URL"]) as caller:
        heard = await caller.put(ChatRequest(user_id="ann", message=QUESTION, enable_streaming=True))
    assert "Saturdays" in heard.answer.response
    assert heard.answer.used_rag
    assert heard.answer.sources[0].source_url.endswith("observatory.html")
    assert heard.streamed == heard.answer.response


@pytest.mark.parametrize("audio_format", ["wav", "webm", "mp3"])
async def test_a_recorded_question_is_answered_from_the_right_document(
    stack: dict[str, str], tmp_path: Path, audio_format: str
) -> None:
    (tmp_path / f"question.{audio_format}").write_bytes(recording(audio_format))
    answer = json.loads(await fleet(stack, tmp_path, "voice", f"question.{audio_format}", "-o", "answer.wav", "--json"))

    assert words(answer["transcription"]) == words(QUESTION)
    assert answer["sources"][0]["source_url"].endswith("observatory.html")
    assert "Saturdays" in answer["response"]
    models = sum(answer["timings_ms"][stage] for stage in MODELS)
    assert answer["latency_ms"] - models < LONGEST_BESIDE_MODELS
    with av.open(str(tmp_path / "answer.wav")) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) > 16_000


async def test_the_spoken_answer_can_be_understood(stack: dict[str, str], tmp_path: Path) -> None:
    if find_flite() is None:
        pytest.skip("flite cannot be had here, and the recogniser does not understand espeak-ng")
    out = await fleet(stack, tmp_path, "voice", str(RECORDING), "--stream", "--no-play", "-o", "answer.wav")
    said = words(out.partition("\n\n")[2].partition("\n")[0])
    heard = await heard_in(stack, (tmp_path / "answer.wav").read_bytes())
    assert len(said) > 10
    assert wrong(said, heard) / len(said) <= MOST_WRONG, (said, heard)


async def test_a_conversation_is_understood_while_it_is_spoken_and_answered_aloud(
    stack: dict[str, str], tmp_path: Path
) -> None:
    process = await begin(stack, tmp_path, "talk", "--from", str(RECORDING), "-o", "said.wav", "--no-play", "--json")
    assert process.stdout is not None
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not told or told[-1]["kind"] != "sound":
            told.append(json.loads(await process.stdout.readline()))
        # The whole answer is for the tests above; to leave in the middle of it is to save what was heard.
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    by_kind = {one["kind"]: one for one in told}
    assert words(by_kind["final"]["transcript"]) == words(QUESTION)
    assert by_kind.keys() >= {"partial", "final", "text", "sound"}
    with av.open(str(tmp_path / "said.wav")) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) < 5 * 16_000


async def test_a_text_that_is_said_can_be_understood(stack: dict[str, str], tmp_path: Path) -> None:
    if find_flite() is None:
        pytest.skip("flite cannot be had here, and the recogniser does not understand espeak-ng")
    await fleet(stack, tmp_path, "say", "The observatory stands below the cairn.", "-o", "said.wav", "--no-play")
    heard = await heard_in(stack, (tmp_path / "said.wav").read_bytes())
    assert heard == words("The observatory stands below the cairn.")
