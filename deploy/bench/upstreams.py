"""The inference servers, Milvus and the OTLP receiver of the bench: canned bytes over keep-alive HTTP.

They run in a process of their own (``python -m deploy.bench.upstreams``) so that their work is never counted
as the handler's, and answer from prepared bytes so that they are never what a round waits for. The process
prints one JSON line with its ports when it listens.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from typing import Final, cast

import msgspec
import uvloop

from deploy.bench import canned

__all__ = ["ROLES", "Script", "Tally", "UpstreamProtocol", "listen", "main"]

ROLES: Final = ("llm", "embeddings", "reranker", "milvus", "otlp", "stt", "tts", "control")
"""The servers, each on a port of its own, so that clients keep a connection pool for each as in production."""

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_LIMIT: Final = re.compile(rb'"limit": *(\d+)')
_QUESTION: Final = re.compile(rb"question-(\d+)")
_STREAM: Final = re.compile(rb'"stream": *true')
_JSON: Final = b"application/json"
_HEAD_END: Final = b"\r\n\r\n"


class Script(msgspec.Struct, kw_only=True, frozen=True):
    """What the servers do before and while they answer; times in seconds.

    Attributes:
        embeddings: Delay of an embedding.
        search: Delay of a search.
        rerank: Delay of a rerank.
        first_token: Delay of the first token, or of the whole answer when it is not streamed.
        gap: Time between two tokens; 0 sends the answer in one burst.
        tokens: Tokens of an answer.
        timed: Note what each question really spent here, found by the text ``question-N`` in the bodies.
    """

    embeddings: float = 0.0
    search: float = 0.0
    rerank: float = 0.0
    first_token: float = 0.0
    gap: float = 0.0
    tokens: int = 64
    timed: bool = False

    @property
    def until_first_token(self) -> float:
        """Scripted seconds from the first call to the first token, one call after the other."""
        return self.embeddings + self.search + self.rerank + self.first_token


class Tally(msgspec.Struct, kw_only=True):
    """What the servers saw since the last script.

    Attributes:
        requests: Requests by path.
        trace_batches: Batches of spans received.
        trace_bytes: Bytes of those batches.
        aborted: Streams that the client closed before their end.
        spent: Seconds each question spent in the servers up to the first token, by its number.
    """

    requests: dict[str, int] = {}
    trace_batches: int = 0
    trace_bytes: int = 0
    aborted: int = 0
    spent: dict[int, float] = {}


class _State:
    """Shared by all connections of the process."""

    def __init__(self) -> None:
        self.script = Script()
        self.tally = Tally()

    def run(self, script: Script) -> None:
        self.script = script
        self.tally = Tally(requests={}, spent={})


def _response(body: bytes, content_type: bytes = _JSON, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, content_type, len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_TRANSCRIPT: Final = _response(b'{"text":"What is the capital of France?"}')
_NOT_FOUND: Final = _response(b'{"error":{"message":"not found","type":"not_found"}}', status=b"404 Not Found")
_LENGTH_REQUIRED: Final = _response(b"{}", status=b"411 Length Required")


class UpstreamProtocol(asyncio.Protocol):
    """One HTTP/1.1 connection; answers in the order of the requests, one at a time."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # A cast, not a check: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream that is under way."""
        del exc
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._state.tally.aborted += 1

    def data_received(self, data: bytes) -> None:
        """Answer every whole request that has arrived."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        while self._timer is None and self._transport is not None:
            end = self._buffer.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._buffer[:end])
            length = _LENGTH.search(head)
            if length is None and head.startswith(b"POST"):
                self._write(_LENGTH_REQUIRED)
                self._transport.close()
                return
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < total:
                return
            body = bytes(self._buffer[end + 4 : total])
            del self._buffer[:total]
            self._answer(head.split(b" ", 2)[1].decode("ascii"), body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _answer(self, path: str, body: bytes) -> None:
        tally, script = self._state.tally, self._state.script
        tally.requests[path] = tally.requests.get(path, 0) + 1
        match path:
            case "/v1/chat/completions" | "/chat/completions":
                self._answer_chat(body)
            case "/v1/embeddings" | "/embeddings":
                base64 = b'"base64"' in body
                self._send(canned.embedding_base64() if base64 else canned.embedding(), script.embeddings, body)
            case "/embed":
                self._send(canned.embedding_tei(), script.embeddings, body)
            case "/rerank" | "/v1/rerank" | "/v2/rerank":
                self._send(_rerank(body), script.rerank, body)
            case "/v2/vectordb/entities/hybrid_search" | "/v2/vectordb/entities/search":
                limits = _LIMIT.findall(body)
                self._send(canned.search_result(_outer_limit(limits)), script.search, body)
            case "/v1/audio/transcriptions":
                self._write(_TRANSCRIPT)
            case "/v1/traces":
                tally.trace_batches += 1
                tally.trace_bytes += len(body)
                self._write(_response(b"{}"))
            case _:
                self._write(self._other(path, body))

    def _other(self, path: str, body: bytes) -> bytes:
        match path:
            case "/v1/models" | "/models":
                return _response(canned.models())
            case "/v2/vectordb/collections/describe":
                return _response(canned.describe_collection())
            case "/v2/vectordb/collections/list":
                return _response(b'{"code":0,"data":["knowledge_base"]}')
            case "/v2/vectordb/collections/has":
                return _response(b'{"code":0,"data":{"has":true}}')
            case "/v2/vectordb/collections/get_load_state":
                return _response(b'{"code":0,"data":{"loadState":"LoadStateLoaded","loadProgress":100,"message":""}}')
            case "/v2/vectordb/collections/get_stats":
                return _response(b'{"code":0,"data":{"rowCount":1000}}')
            case "/health" | "/v1/metrics":
                return _response(b"{}")
            case "/bench/script":
                self._state.run(msgspec.json.decode(body, type=Script))
                return _response(b"{}")
            case "/bench/tally":
                return _response(msgspec.json.encode(self._state.tally))
            case _:
                return _NOT_FOUND

    def _send(self, body: bytes, delay: float, request: bytes) -> None:
        response = _response(body)
        self._after(delay, request, lambda: self._write(response))

    def _after(self, delay: float, request: bytes, send: Callable[[], None]) -> None:
        """Call `send` after the scripted delay, at once when there is none."""
        if delay <= 0:
            send()
            return
        started = time.perf_counter()

        def fire() -> None:
            self._timer = None
            send()
            self._note_spent(request, started)
            self._next()

        self._timer = self._loop.call_later(delay, fire)

    def _note_spent(self, request: bytes, started: float) -> None:
        if not self._state.script.timed:
            return
        # The last mention is the question itself: passages and history stand before it in a prompt.
        questions = _QUESTION.findall(request)
        if questions:
            spent, number = self._state.tally.spent, int(questions[-1])
            spent[number] = spent.get(number, 0.0) + time.perf_counter() - started

    def _answer_chat(self, body: bytes) -> None:
        script = self._state.script
        if not _STREAM.search(body):
            self._send(canned.completion(), script.first_token, body)
            return
        if script.gap <= 0:
            burst = _burst(script.tokens)
            self._after(script.first_token, body, lambda: self._write(burst))
            return
        frames = _frames(script.tokens)
        self._after(script.first_token, body, lambda: self._stream(frames, script.gap))

    def _stream(self, frames: tuple[bytes, ...], gap: float) -> None:
        """Send one frame every `gap` seconds, by a schedule that a late timer does not shift."""
        started = self._loop.time()
        sent = 0

        def fire() -> None:
            nonlocal sent
            self._timer = None
            self._write(frames[sent])
            sent += 1
            if sent < len(frames):
                self._timer = self._loop.call_at(started + sent * gap, fire)
            else:
                self._next()

        fire()


def _outer_limit(limits: list[bytes]) -> int:
    """A hybrid search names a limit a sub-search and one for the whole: the smallest is what comes back."""
    return min((int(limit) for limit in limits), default=10)


def _rerank(body: bytes) -> bytes:
    request: dict[str, list[object]] = msgspec.json.decode(body)
    if "texts" in request:
        return canned.rerank_tei(len(request["texts"]))
    return canned.rerank_cohere(len(request.get("documents", [])))


def _frames(tokens: int) -> tuple[bytes, ...]:
    """The writes of a paced answer: role and first token together, the rest of the events with the last token."""
    cached = _FRAMES.get(tokens)
    if cached is None:
        events = [_chunk(event) for event in canned.stream_events(tokens)]
        head = _STREAM_HEAD + events[0] + events[1]
        tail = b"".join(events[tokens:]) + b"0\r\n\r\n"
        cached = _FRAMES[tokens] = (head, *events[2:tokens], tail)
    return cached


_FRAMES: dict[int, tuple[bytes, ...]] = {}


def _burst(tokens: int) -> bytes:
    return b"".join(_frames(tokens))


async def listen(
    host: str = "127.0.0.1", protocol: Callable[[_State], asyncio.Protocol] = UpstreamProtocol
) -> tuple[list[asyncio.Server], dict[str, int]]:
    """Open one server a role on free ports; returns the servers and the port of each role."""
    state, loop = _State(), asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: protocol(state), host, 0) for _ in ROLES]
    ports = {role: int(server.sockets[0].getsockname()[1]) for role, server in zip(ROLES, servers, strict=True)}
    return servers, ports


async def main(protocol: Callable[[_State], asyncio.Protocol] = UpstreamProtocol) -> None:
    """Serve until the process is told to end."""
    servers, ports = await listen(protocol=protocol)
    sys.stdout.write(msgspec.json.encode(ports).decode() + "\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(main())
