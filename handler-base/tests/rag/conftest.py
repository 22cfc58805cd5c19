"""A Milvus Lite for the whole session, and the stores on it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiohttp import web

from handler_base.clients import HttpEndpoints, HttpPool
from handler_base.config import RagSettings
from handler_base.deadline import Deadline
from handler_base.rag import Chunk, PyMilvusStore, RestVectorStore
from handler_base.testing.milvus import MilvusLite, MilvusRestFront, milvus_lite

if TYPE_CHECKING:
    from pymilvus import MilvusClient

DIMENSION = 4
UnitVector = Callable[[int], list[float]]


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def milvus_uri(milvus: MilvusLite) -> str:
    return milvus.uri


@pytest.fixture
def lite_client(milvus: MilvusLite) -> Iterator[MilvusClient]:
    """A client of its own, to do behind the stores' backs what others might."""
    from pymilvus import MilvusClient

    client = MilvusClient(milvus.uri)
    yield client
    client.close()


@pytest.fixture
async def front(milvus: MilvusLite) -> AsyncIterator[MilvusRestFront]:
    async with MilvusRestFront(milvus.uri) as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[HttpPool]:
    made = HttpPool()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def grpc_store(milvus: MilvusLite) -> AsyncIterator[PyMilvusStore]:
    store = PyMilvusStore(milvus.uri)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def rest_store(front: MilvusRestFront, pool: HttpPool) -> AsyncIterator[RestVectorStore]:
    store = RestVectorStore(HttpEndpoints("milvus", [front.url], pool=pool))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(timedelta(seconds=20))


@pytest.fixture
def collection() -> str:
    """The name of a collection that is not there yet."""
    return f"c_{uuid4().hex}"


@pytest.fixture(scope="session")
def unit() -> UnitVector:
    """Makes the unit vector of an axis, tilted a little so that no distances are equal."""
    return _unit


def _unit(axis: int) -> list[float]:
    return [1.0 if index == axis else 0.01 * index for index in range(DIMENSION)]


@pytest.fixture(scope="session")
def island_chunks() -> list[Chunk]:
    """Four passages of two documents."""
    texts = (
        "The lighthouse keeper lights the lamp at dusk.",
        "A ferry crosses the strait twice a day.",
        "Bees make honey from the heather on the hill.",
        "The archive holds ship logs of three centuries.",
    )
    return [
        Chunk(
            chunk_id=f"chunk-{number}",
            document_id=f"document-{number // 2}",
            text=text,
            content_hash=f"hash-{number}",
            title=f"Title {number // 2}",
            source_url=f"island/{number // 2}.md",
            position=number % 2,
            page=number // 2,
        )
        for number, text in enumerate(texts)
    ]


async def _fill(uri: str, collection: str, chunks: list[Chunk]) -> None:
    deadline = Deadline.after(timedelta(seconds=20))
    store = PyMilvusStore(uri)
    await store.open()
    await store.create_collection(collection, DIMENSION, deadline=deadline)
    await store.upsert(collection, chunks, [_unit(axis) for axis in range(len(chunks))], deadline=deadline)
    await store.close()


@pytest.fixture(scope="session")
def shared(milvus: MilvusLite, island_chunks: list[Chunk]) -> str:
    """A collection of ours with the four passages, that no test changes; the vector of chunk n points along axis n."""
    asyncio.run(_fill(milvus.uri, "shared", island_chunks))
    return "shared"


@pytest.fixture
async def filled(milvus: MilvusLite, island_chunks: list[Chunk], collection: str) -> str:
    """The same as `shared`, for one test to change."""
    await _fill(milvus.uri, collection, island_chunks)
    return collection


class ModelServer:
    """Embeddings and reranking in the dialect of text-embeddings-inference, told what to do wrong.

    A text is embedded along the axis of the first word of `axes` it holds; a passage scores what `scores` says for
    the first word it holds.
    """

    def __init__(self) -> None:
        self.axes = {"lamp": 0, "ferry": 1, "honey": 2, "logs": 3}
        self.scores: dict[str, float] = {}
        self.dimension = DIMENSION
        self.broken: dict[str, int] = {}
        self.hanging: set[str] = set()
        self.drop_last = False
        self.embedded: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/embed", self._embed)
        app.router.add_post("/rerank", self._rerank)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _misbehave(self, path: str) -> None:
        if path in self.hanging:
            await asyncio.Event().wait()
        if self.broken.get(path, 0) > 0:
            self.broken[path] -= 1
            raise web.HTTPInternalServerError

    async def _embed(self, request: web.Request) -> web.Response:
        await self._misbehave("/embed")
        inputs = (await request.json())["inputs"]
        texts = [inputs] if isinstance(inputs, str) else inputs
        self.embedded.extend(texts)
        return web.json_response([self._vector(text) for text in texts])

    async def _rerank(self, request: web.Request) -> web.Response:
        await self._misbehave("/rerank")
        texts = (await request.json())["texts"]
        return web.json_response([{"index": index, "score": self._score(text)} for index, text in enumerate(texts)])

    def _vector(self, text: str) -> list[float]:
        axis = next((axis for word, axis in self.axes.items() if word in text), 0)
        return [1.0 if index == axis else 0.01 * index for index in range(self.dimension)]

    def _score(self, text: str) -> float:
        return next((score for word, score in self.scores.items() if word in text), 0.5)


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    server = ModelServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def rag_settings(model_server: ModelServer) -> RagSettings:
    return RagSettings(
        embeddings_url=model_server.url,
        embeddings_dialect="tei",
        reranker_url=model_server.url,
        reranker_dialect="tei",
        retrieval_timeout=5,
        rerank_timeout=0.3,
        embeddings_query_prefix="query: ",
        embeddings_passage_prefix="passage: ",
        _env_file=None,
    )


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    """Makes a PDF with a line of text on each page."""
    return _pdf


def _pdf(pages: list[str], password: str = "") -> bytes:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(400, 200)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = content
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()
