"""The fake upstreams keep the shapes and the habits of the servers they stand for."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from deploy.bench import canned
from deploy.bench.upstreams import Script, Tally, listen


@pytest.fixture
async def ports() -> AsyncIterator[dict[str, int]]:
    servers, ports = await listen()
    yield ports
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def http(ports: dict[str, int]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{ports['llm']}") as session:
        yield session


async def run_script(http: aiohttp.ClientSession, script: Script) -> None:
    async with http.post("/bench/script", data=msgspec.json.encode(script)) as response:
        assert response.status == 200


async def tally(http: aiohttp.ClientSession) -> Tally:
    async with http.post("/bench/tally", data=b"") as response:
        return msgspec.json.decode(await response.read(), type=Tally)


def test_the_answer_has_64_tokens() -> None:
    assert len(canned.ANSWER_TOKENS) == 64
    assert canned.answer(128) == canned.answer(64) * 2


async def test_embeddings_come_as_floats_or_base64(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/embeddings", json={"input": ["x"]}) as response:
        floats = (await response.json())["data"][0]["embedding"]
    async with http.post("/v1/embeddings", json={"input": ["x"], "encoding_format": "base64"}) as response:
        packed = base64.b64decode((await response.json())["data"][0]["embedding"])
    assert len(floats) == canned.DIMENSION
    assert struct.unpack(f"<{canned.DIMENSION}f", packed) == pytest.approx(floats, rel=1e-6)


async def test_search_returns_as_many_as_the_outer_limit(http: aiohttp.ClientSession) -> None:
    body = {
        "collectionName": "knowledge_base",
        "search": [{"data": [[0.0]], "annsField": "dense", "limit": 20}],
        "rerank": {"strategy": "rrf", "params": {"k": 60}},
        "limit": 5,
    }
    async with http.post("/v2/vectordb/entities/hybrid_search", json=body) as response:
        found = await response.json()
    assert found["code"] == 0
    assert len(found["data"]) == 5
    assert {"id", "distance", "text"} <= found["data"][0].keys()
    distances = [row["distance"] for row in found["data"]]
    assert distances == sorted(distances, reverse=True)


async def test_rerank_answers_in_the_dialect_of_the_request(http: aiohttp.ClientSession) -> None:
    async with http.post("/rerank", json={"query": "q", "texts": ["a", "b", "c"]}) as response:
        tei = await response.json()
    async with http.post("/v1/rerank", json={"query": "q", "documents": ["a", "b", "c"]}) as response:
        cohere = (await response.json())["results"]
    assert sorted(entry["index"] for entry in tei) == [0, 1, 2]
    assert [entry["index"] for entry in cohere] == [entry["index"] for entry in tei]
    assert [entry["relevance_score"] for entry in cohere] == sorted((e["score"] for e in tei), reverse=True)


@pytest.mark.parametrize("gap", [0.0, 0.001])
async def test_stream_is_whole_whether_paced_or_in_a_burst(http: aiohttp.ClientSession, gap: float) -> None:
    await run_script(http, Script(gap=gap, tokens=8))
    async with http.post("/v1/chat/completions", json={"stream": True}) as response:
        assert response.content_type == "text/event-stream"
        lines = [line async for line in response.content if line.strip()]
    assert lines[-1] == b"data: [DONE]\n"
    events = [msgspec.json.decode(line.removeprefix(b"data: ")) for line in lines[:-1]]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])
    assert text == canned.answer(8)
    assert events[-1]["usage"]["completion_tokens"] == 64
    assert events[-1]["choices"] == []


async def test_an_answer_that_is_not_streamed_comes_in_one_piece(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/chat/completions", json={"stream": False}) as response:
        answer = await response.json()
    assert answer["choices"][0]["message"]["content"] == canned.answer(64)


async def test_requests_in_one_write_are_answered_in_order(ports: dict[str, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["reranker"])
    health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    writer.write(health + b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" + health)
    statuses = []
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        statuses.append(int(head.split()[1]))
    assert statuses == [200, 404, 200]
    writer.close()
    await writer.wait_closed()


async def test_a_body_without_a_length_is_refused(ports: dict[str, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["reranker"])
    writer.write(b"POST /rerank HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 411")
    writer.close()
    await writer.wait_closed()


async def test_what_a_question_spent_is_added_up(http: aiohttp.ClientSession) -> None:
    await run_script(http, Script(embeddings=0.01, rerank=0.01, timed=True))
    async with http.post("/v1/embeddings", json={"input": ["ask question-7"]}) as response:
        assert response.status == 200
    async with http.post("/rerank", json={"query": "ask question-7", "texts": ["a"]}) as response:
        assert response.status == 200
    seen = await tally(http)
    assert 0.019 <= seen.spent[7] < 1
    assert seen.requests["/v1/embeddings"] == 1


async def test_a_stream_the_client_leaves_is_counted_and_ends(http: aiohttp.ClientSession) -> None:
    await run_script(http, Script(gap=0.01, tokens=1000))
    async with http.post("/v1/chat/completions", json={"stream": True}) as response:
        await response.content.readline()
        response.close()
    async with asyncio.timeout(5):
        while not (await tally(http)).aborted:
            pass
    assert (await tally(http)).aborted == 1


async def test_spans_are_taken_and_counted(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/traces", data=b"12345") as response:
        assert response.status == 200
    seen = await tally(http)
    assert (seen.trace_batches, seen.trace_bytes) == (1, 5)
