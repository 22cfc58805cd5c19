"""The local inference server on a free port, its weights loaded once a session."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.local.inference.batching import EmbeddingBatcher
from deploy.local.inference.encoder import SentenceEncoder
from deploy.local.inference.extractive import ExtractiveModel
from deploy.local.inference.server import ServerOptions, build_app
from deploy.local.inference.speech_engines import Speaker, find_speaker
from deploy.local.inference.terms import Lexicon
from deploy.local.inference.transcription_pool import Recognizer, find_recognizer

Answer = tuple[int, Any]


class InferenceServer:
    """A running server and a client for it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(self, path: str, body: object) -> Answer:
        """Return the status and the JSON answer; bytes go as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.url + path, data=io.BytesIO(data)) as response:
            return response.status, json.loads(await response.read())

    async def get(self, path: str) -> Answer:
        async with self.session.get(self.url + path) as response:
            return response.status, json.loads(await response.read())


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


@pytest.fixture(scope="session")
def lexicon(encoder: SentenceEncoder) -> Lexicon:
    return Lexicon(encoder)


@pytest.fixture
async def batcher(encoder: SentenceEncoder) -> AsyncIterator[EmbeddingBatcher]:
    async with EmbeddingBatcher(encoder, workers=1) as running:
        yield running


@pytest.fixture
def model(batcher: EmbeddingBatcher, lexicon: Lexicon) -> ExtractiveModel:
    return ExtractiveModel(batcher, lexicon)


@pytest.fixture
def server_options() -> ServerOptions:
    return ServerOptions(words_per_second=0, workers=1)


@pytest.fixture
async def inference(encoder: SentenceEncoder, server_options: ServerOptions) -> AsyncIterator[InferenceServer]:
    runner = web.AppRunner(build_app(encoder, server_options), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield InferenceServer(f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    await runner.cleanup()


@pytest.fixture
def speaker() -> Speaker:
    found = find_speaker()
    if found is None:
        pytest.skip("neither flite nor espeak-ng can be had here")
    return found


@pytest.fixture(scope="session")
def recognizer() -> Iterator[Recognizer]:
    """Knows the words of the sample corpus."""
    found = find_recognizer(Path(__file__).parents[2] / "local" / "corpus")
    if found is None:
        pytest.skip("pocketsphinx cannot be had here")
    yield found
    asyncio.run(found.close())


@pytest.fixture
def grounded() -> Callable[[str], list[dict[str, str]]]:
    """Messages in the form of the fleet's own prompt, about two wells."""

    def messages(question: str) -> list[dict[str, str]]:
        sources = (
            '<sources count="2">\n<source id="1" title="Wells &amp; pumps">\n'
            "The East Well pump\n\nIt draws 46 litres a minute from a depth of 31 metres. "
            "Its keeper is Ansel Brandt. The pump hums a low note when the filter is half blocked.\n</source>\n"
            '<source id="2" title="Weather diary" page="4">\n'
            "In May the sun shone for 236 hours. Northern lights were seen on the 10th.\n</source>\n</sources>"
        )
        return [
            {"role": "system", "content": "Answer from the sources and cite them like [1]."},
            {"role": "user", "content": f"{sources}\n\nQuestion: {question}"},
        ]

    return messages
