"""The caller: asks questions over NATS, keeps a number of them in flight, and checks every answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Final, Literal

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.bench import canned
from handler_base.messages import ChatRequest, ChatResponse, ChatStreamChunk

__all__ = ["Answer", "Load", "Plan", "Traffic"]

Shape = Literal["echo", "rag", "stream"]

_QUESTION: Final = (
    "A handler was restarted while it worked on a durable question. Who answers the question now, how long does it "
    "wait before it is tried again, and where does it end up when every attempt has failed? question-{number}"
)
_STREAM_PREFIX: Final = "ai.chat.response.stream."
_END_SECONDS: Final = 2.0
_HEADERS: Final = {
    "Content-Type": "application/msgpack",
    # A sampled parent: every answer is traced where tracing is on.
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round asks.

    Attributes:
        shape: ``echo``, ``rag`` (answer in one piece) or ``stream``.
        total: Questions of the round.
        in_flight: Questions open at a time.
        tokens: Tokens the scripted answer has.
        spread_start: Time over which the first `in_flight` questions are sent.
        limit: Time the round may take; what is open then has failed.
        conversations: Over how many conversations the questions go in turn; 0: each stands alone.
    """

    shape: Shape
    total: int
    in_flight: int
    tokens: int = 64
    spread_start: timedelta = timedelta(0)
    limit: timedelta = timedelta(seconds=120)
    conversations: int = 0


@dataclass(slots=True)
class Answer:
    """What became of one question; times in seconds of `time.perf_counter`: uvloop's own clock is a millisecond coarse.

    Attributes:
        number: The number of the question.
        started: When it was published.
        first: When the first piece of the answer came, 0 when none did.
        finished: When the final answer came, 0 when it did not.
        chunks: Pieces of a streamed answer, without the end marker.
        failure: Why the answer is not the right one; empty when it is.
    """

    number: int
    started: float
    first: float = 0.0
    finished: float = 0.0
    chunks: int = 0
    failure: str = "no answer in time"


@dataclass(frozen=True, slots=True)
class Traffic:
    """One round as the caller saw it.

    Attributes:
        answers: One entry a question.
        seconds: From the first question to the last answer.
    """

    answers: list[Answer]
    seconds: float

    @property
    def failures(self) -> dict[str, int]:
        """How many answers were wrong, by the reason."""
        found: dict[str, int] = {}
        for answer in self.answers:
            if answer.failure:
                found[answer.failure] = found.get(answer.failure, 0) + 1
        return found


class _Open:
    """A question that waits for its answer."""

    __slots__ = ("answer", "content", "end", "final")

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        self.answer = answer
        self.content: list[str] = []
        self.final: asyncio.Future[Msg] = loop.create_future()
        self.end: asyncio.Future[str] = loop.create_future()

    @property
    def complete(self) -> bool:
        """Whether the end marker came and says that nothing is missing."""
        return self.end.done() and self.end.result() == "done"


class Load:
    """A connection that asks; one for a whole run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._inbox = client.new_inbox()
        self._numbers = count(1)
        self._open: dict[str, _Open] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._response = msgspec.msgpack.Decoder(ChatResponse)
        self._chunk = msgspec.msgpack.Decoder(ChatStreamChunk)
        self._json_response = msgspec.json.Decoder(ChatResponse)

    @classmethod
    async def connect(cls, url: str) -> Load:
        """Connect and listen for answers and their pieces."""
        client = await nats.connect(url, max_reconnect_attempts=5, pending_size=64 * 1024 * 1024)
        load = cls(client)
        await client.subscribe(f"{load._inbox}.*", cb=load._on_answer)
        await client.subscribe(f"{_STREAM_PREFIX}*", cb=load._on_chunk)
        await client.flush()
        return load

    @property
    def client(self) -> Client:
        """The connection, for scenarios that publish on their own."""
        return self._client

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def run(self, subject: str, plan: Plan, *, json: bool = False) -> Traffic:
        """Ask as the plan says on `subject`, in JSON for a peer whose natural form that is."""
        answers: list[Answer] = []
        tickets = iter(range(plan.total))
        started = time.perf_counter()

        async def caller(index: int) -> None:
            if plan.spread_start:
                await asyncio.sleep(plan.spread_start.total_seconds() * index / plan.in_flight)
            for _ in tickets:
                await self._ask(subject, plan, answers, json=json)

        try:
            async with asyncio.timeout(plan.limit.total_seconds()), asyncio.TaskGroup() as group:
                for index in range(min(plan.in_flight, plan.total)):
                    group.create_task(caller(index))
        except TimeoutError:
            self._open.clear()
        return Traffic(answers, time.perf_counter() - started)

    async def _ask(self, subject: str, plan: Plan, answers: list[Answer], *, json: bool) -> None:
        number = next(self._numbers)
        request_id = f"q-{number}"
        request = ChatRequest(
            request_id=request_id,
            user_id="bench",
            message=_QUESTION.format(number=number),
            enable_streaming=plan.shape == "stream",
            collection="knowledge_base",
            session_id=f"c-{number % plan.conversations}" if plan.conversations else "",
        )
        payload = msgspec.json.encode(request) if json else self._encode(request)
        headers = {**_HEADERS, "Content-Type": "application/json"} if json else _HEADERS
        answer = Answer(number, time.perf_counter())
        answers.append(answer)
        entry = self._open[request_id] = _Open(answer, self._loop)
        await self._client.publish(subject, payload, reply=f"{self._inbox}.{request_id}", headers=headers)
        try:
            message = await entry.final
            # The two subjects are two subscriptions here: the end marker may be handled after the final answer.
            if plan.shape == "stream":
                await asyncio.wait([entry.end], timeout=_END_SECONDS)
        finally:
            del self._open[request_id]
        answer.finished = time.perf_counter()
        answer.failure = self._judge(message, request, entry, plan, json=json)

    def _judge(self, message: Msg, request: ChatRequest, entry: _Open, plan: Plan, *, json: bool) -> str:
        """Return what is wrong with an answer, or nothing."""
        if message.headers and "Nats-Service-Error" in message.headers:
            return f"error answer: {message.headers['Nats-Service-Error']}"
        decoder = self._json_response if json else self._response
        try:
            response = decoder.decode(message.data)
        except msgspec.DecodeError as error:
            return f"unreadable answer: {error}"
        if not response.success or response.request_id != request.request_id:
            return f"error answer: {response.error}"
        expected = request.message if plan.shape == "echo" else canned.answer(plan.tokens)
        if response.response.strip() != expected.strip():
            return "wrong text"
        if plan.shape != "echo" and not (response.used_rag and response.sources):
            return "answered without documents"
        if plan.shape == "stream" and (not entry.complete or "".join(entry.content).strip() != expected.strip()):
            return "stream incomplete"
        return ""

    async def _on_answer(self, message: Msg) -> None:
        entry = self._open.get(message.subject[len(self._inbox) + 1 :])
        if entry is not None and not entry.final.done():
            entry.final.set_result(message)

    async def _on_chunk(self, message: Msg) -> None:
        entry = self._open.get(message.subject[len(_STREAM_PREFIX) :])
        if entry is None:
            return
        chunk = self._chunk.decode(message.data)
        if chunk.done:
            if not entry.end.done():
                entry.end.set_result(chunk.type)
            return
        if not entry.answer.chunks:
            entry.answer.first = time.perf_counter()
        entry.answer.chunks += 1
        entry.content.append(chunk.content)
