"""The steps of the Kubeflow pipelines: ``python -m pipeline_bridge.steps.kubeflow STEP --name=value ...``.

A container of Kubeflow is told everything in its arguments: values, files to read, files to write. What a step writes
for a parameter is its text; what it writes for an artifact is its content.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from handler_base.clients import HttpPool, embeddings_client, llm_client, reranker_client, stt_client, tts_client
from handler_base.deadline import Deadline
from handler_base.errors import FleetError, InvalidRequestError, UnsupportedFormatError, UpstreamError
from handler_base.messages.domain import AudioFormat, check_transcript
from handler_base.rag import (
    Grounding,
    Hit,
    RetrievalOptions,
    Retriever,
    build_prompt,
    citations,
    vector_store,
)
from handler_base.rag.store import check_collection_name
from handler_base.speech import speakable
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.sources import Sources

__all__ = ["main", "parser"]

_PATIENCE: Final = timedelta(seconds=120)
_FAILED: Final = 1

Run = Callable[[Namespace, StepSettings, HttpPool], Awaitable[None]]


class _Passages(msgspec.Struct):
    """What `retrieve` hands to `answer`."""

    question: str
    grounding: Grounding
    hits: list[Hit]


async def transcribe(given: Namespace, settings: StepSettings, pool: HttpPool) -> None:
    """Fetch a recording, and write what is said in it.

    Raises:
        UnsupportedFormatError: It is not wav, webm or mp3, by its name.
        FleetError: It may not be read, or cannot be understood.
    """
    suffix = Path(given.audio_url.partition("?")[0]).suffix.lstrip(".")
    audio_format = AudioFormat.named(suffix or "wav")
    async with Sources(settings.source_urls) as sources:
        audio = await sources.content(given.audio_url)
    heard = await stt_client(settings, pool).transcribe(
        audio, audio_format=audio_format.value, language=given.language, deadline=Deadline.after(_PATIENCE)
    )
    await _write(given.transcript, check_transcript(heard.text).encode())


async def retrieve(given: Namespace, settings: StepSettings, pool: HttpPool) -> None:
    """Search the documents, and write the passages.

    Raises:
        UpstreamError: They could not be searched: a pipeline answers from documents or not at all.
    """
    if not given.question.strip():
        raise InvalidRequestError("There is no question.")
    check_collection_name(given.collection)
    store = vector_store(settings, pool)
    await store.open()
    try:
        retriever = Retriever(
            embeddings_client(settings, pool),
            store,
            reranker_client(settings, pool),
            RetrievalOptions.from_settings(settings),
        )
        found = await retriever.retrieve(
            given.question, collection=given.collection, top_k=given.top_k, deadline=Deadline.after(_PATIENCE)
        )
    finally:
        await store.close()
    if found.grounding is Grounding.UNAVAILABLE:
        raise UpstreamError(f"The documents cannot be searched ({'; '.join(found.notes)}).")
    passages = _Passages(given.question, found.grounding, list(found.hits))
    await _write(given.passages, msgspec.json.encode(passages))


async def answer(given: Namespace, settings: StepSettings, pool: HttpPool) -> None:
    """Have the model answer from the passages, and write its text."""
    passages = msgspec.json.decode(await asyncio.to_thread(given.passages.read_bytes), type=_Passages)
    prompt = build_prompt(passages.question, hits=passages.hits, grounding=passages.grounding, language=given.language)
    completion = await llm_client(settings, pool).complete(prompt.messages, deadline=Deadline.after(_PATIENCE))
    cited = citations(completion.text, len(prompt.used_hits))
    await _write(given.answer, cited.text.encode())


async def speak(given: Namespace, settings: StepSettings, pool: HttpPool) -> None:
    """Have a text spoken, and write the sound as wav."""
    text = speakable(given.text, given.language)
    if not text:
        raise InvalidRequestError("There is nothing to say.")
    sound = await tts_client(settings, pool).synthesize(
        text, voice=given.voice, language=given.language, deadline=Deadline.after(_PATIENCE)
    )
    if sound.audio_format != AudioFormat.WAV:
        raise UnsupportedFormatError("The speech server sends no wav.")
    await _write(given.speech, sound.audio)


async def _write(path: Path, content: bytes) -> None:
    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    await asyncio.to_thread(write)


def parser() -> ArgumentParser:
    """Return what reads the arguments of the steps."""
    reads = ArgumentParser(prog="python -m pipeline_bridge.steps.kubeflow")
    steps = reads.add_subparsers(required=True)

    def step(run: Run, *texts: str, **files: str) -> ArgumentParser:
        added = steps.add_parser(run.__name__)
        added.set_defaults(run=run)
        for name in texts:
            added.add_argument(f"--{name}", required=True)
        for name, what in files.items():
            added.add_argument(f"--{name}", required=True, type=Path, help=what)
        return added

    step(transcribe, "audio-url", "language", transcript="file for what is said")
    searching = step(retrieve, "question", "collection", passages="file for the passages")
    searching.add_argument("--top-k", required=True, type=int)
    step(answer, "language", passages="file with the passages", answer="file for the answer")
    step(speak, "text", "voice", "language", speech="file for the sound")
    return reads


def main(arguments: list[str]) -> int:
    """Run one step; returns its exit status."""
    given = parser().parse_args(arguments)
    settings = StepSettings()
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(message)s")

    async def run() -> None:
        async with AsyncExitStack() as stack:
            pool = HttpPool()
            await pool.open()
            stack.push_async_callback(pool.close)
            await given.run(given, settings, pool)

    try:
        asyncio.run(run())
    except FleetError as error:
        sys.stderr.write(f"{error.message} ({error.type.value})\n")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
