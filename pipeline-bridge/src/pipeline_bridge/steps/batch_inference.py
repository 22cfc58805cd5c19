"""A file of questions, answered by the fleet.

Answers are kept one by one as they come: what was killed half-way asks only what is not answered yet.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec

from handler_base.cli.asking import error_of
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    OverloadedError,
    UpstreamError,
    UpstreamUnavailableError,
    error_for_code,
)
from handler_base.messages import ChatRequest, ChatResponse, Encoding, ErrorResponse, decode, detect, encode
from handler_base.messages.subjects import CHAT_REQUEST
from handler_base.nats_client import Msg, NatsConnection, headers, options_from_settings
from pipeline_bridge.steps.output import Output
from pipeline_bridge.steps.parts import Part
from pipeline_bridge.steps.questions import Asked, parse_asked
from pipeline_bridge.steps.settings import StepSettings
from pipeline_bridge.steps.sources import Sources
from pipeline_bridge.steps.step import Step

__all__ = ["CONNECT_TIMEOUT", "Parameters", "run"]

_ANSWERS: Final = "answers.jsonl"
_USER: Final = "batch-inference"
CONNECT_TIMEOUT: Final = timedelta(seconds=10)
"""Most time of the first connection to NATS."""

_WORTH_RETRYING: Final = (UpstreamUnavailableError, OverloadedError, DeadlineExceededError, UpstreamError)
_ATTEMPTS: Final = 5
_GRACE: Final = timedelta(seconds=2)
"""Waited beyond the budget, so that the service's own `deadline_exceeded` arrives."""


class _Source(msgspec.Struct, omit_defaults=True):
    title: str = ""
    source_url: str = ""
    score: float = 0.0


class _Answer(msgspec.Struct, omit_defaults=True):
    """A line of the file of answers; `error` and `error_type` stand for an answer that did not come."""

    id: str
    question: str
    answer: str = ""
    sources: list[_Source] = msgspec.field(default_factory=list)
    model: str = ""
    latency_ms: float = 0.0
    error: str = ""
    error_type: str = ""


class _AnswerFile:
    """Answers as they come; blocks for as long as a disk takes to note a line.

    Args:
        path: Where they are kept until all are there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: dict[str, _Answer] = {}

    def open(self) -> None:
        """Read what an earlier attempt has answered; a line that it did not finish is dropped."""
        if self._path.exists():
            for line in self._path.read_bytes().splitlines(keepends=True):
                self._take(line)
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(b"".join(self._lines(self.answers)))
        fresh.replace(self._path)

    def add(self, answer: _Answer) -> None:
        """Keep one answer."""
        self.answers[answer.id] = answer
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(answer) + b"\n")

    def finish(self, order: list[str], path: Path) -> None:
        """Write all of them in the order of the questions."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(b"".join(self._lines(order)))
        fresh.replace(path)
        self._path.unlink()

    def _take(self, line: bytes) -> None:
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.MsgspecError:
            return
        if not answer.error and line.endswith(b"\n"):
            self.answers[answer.id] = answer

    def _lines(self, ids: list[str] | dict[str, _Answer]) -> Iterator[bytes]:
        return (msgspec.json.encode(self.answers[identity]) + b"\n" for identity in ids)


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What a batch is told.

    Attributes:
        questions_url: A file or page with one question a line.
        collection: Documents to search; empty: as the fleet is set.
        top_k: Passages to look for.
        concurrency: Questions under way at once.
        max_failures: Questions that may stay unanswered before the run fails.
        timeout: Seconds that one answer may take.
        part: Which part of the questions, as ``index/count``.
    """

    questions_url: str
    collection: str = ""
    top_k: int = 5
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    max_failures: int = 0
    timeout: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0
    part: str = "0/1"


async def run(step: Step) -> None:
    """Answer the questions.

    Raises:
        FleetError: The file may not be read, NATS is away, or more questions failed than may.
    """
    parameters = step.parameters(Parameters)
    settings = StepSettings()
    part = Part.parse(parameters.part)
    async with Sources(settings.source_urls) as sources:
        asked = parse_asked(await sources.text(parameters.questions_url))
    questions = [one for one in asked if part.holds(one.id)]
    output = Output(step, settings)
    kept = _AnswerFile(await asyncio.to_thread(output.path, f"{_ANSWERS}.part"))
    await asyncio.to_thread(kept.open)
    unanswered = [one for one in questions if one.id not in kept.answers]
    step.progress(len(questions) - len(unanswered), len(questions))

    async def keep(answer: _Answer) -> None:
        await asyncio.to_thread(kept.add, answer)
        step.progress(len(kept.answers), len(questions))

    if unanswered:
        await _answer(unanswered, parameters, settings, keep)
    target = await asyncio.to_thread(output.path, _ANSWERS)
    await asyncio.to_thread(kept.finish, [one.id for one in questions], target)
    failed = sum(bool(answer.error) for answer in kept.answers.values())
    told = (
        f"{len(questions) - failed} of {len(questions)} questions answered; see {output.produced(_ANSWERS, 'dataset')}."
    )
    if failed > parameters.max_failures:
        raise UpstreamError(told)
    step.progress(len(questions), len(questions), told)


async def _answer(
    questions: list[Asked],
    parameters: Parameters,
    settings: StepSettings,
    keep: Callable[[_Answer], Awaitable[None]],
) -> None:
    """Ask the fleet, so many questions at a time, and keep what it answers."""
    connection = NatsConnection(options_from_settings(settings, _USER))
    try:
        await connection.connect(timeout=CONNECT_TIMEOUT)
    except OSError:
        raise UpstreamUnavailableError("NATS cannot be reached.") from None
    waiting = iter(questions)
    asking = _Asking(connection, parameters)

    async def work() -> None:
        for asked in waiting:
            await keep(await asking.answer(asked))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(parameters.concurrency):
                tasks.create_task(work())
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks the fleet.

    Attributes:
        connection: To NATS.
        parameters: Of the batch.
        retry_delay: Mean delay before the second attempt; it doubles with each.
    """

    connection: NatsConnection
    parameters: Parameters
    retry_delay: timedelta = timedelta(seconds=1)

    async def answer(self, asked: Asked) -> _Answer:
        """Ask until there is an answer, or no use in asking again."""
        attempt = 1
        while True:
            try:
                return await self._once(asked)
            except FleetError as error:
                if attempt == _ATTEMPTS or not isinstance(error, _WORTH_RETRYING):
                    return _Answer(asked.id, asked.question, error=error.message, error_type=error.type.value)
                delay = error.retry_after or self.retry_delay * 2 ** (attempt - 1)
            # Spread, so that the questions of one file do not come back all at once.
            await asyncio.sleep(delay.total_seconds() * random.uniform(0.75, 1.25))  # noqa: S311 - keeps no secret
            attempt += 1

    async def _once(self, asked: Asked) -> _Answer:
        timeout = timedelta(seconds=self.parameters.timeout)
        request = ChatRequest(
            request_id=str(uuid.uuid4()),
            user_id=_USER,
            message=asked.question,
            collection=asked.collection or self.parameters.collection,
            top_k=self.parameters.top_k,
        )
        fields: dict[str, headers.HeaderValue] = {
            headers.CONTENT_TYPE: Encoding.MSGPACK.value,
            headers.MESSAGE_TYPE: request.schema_name,
            headers.DEADLINE_MS: int(timeout.total_seconds() * 1000),
        }
        asked_at = time.monotonic()
        msg = await self.connection.request(
            CHAT_REQUEST.template, encode(request), headers=fields, timeout=timeout + _GRACE
        )
        response = _response(msg)
        return _Answer(
            asked.id,
            asked.question,
            answer=response.response or response.response_text,
            sources=[_Source(one.title, one.source_url, one.score) for one in response.sources],
            model=response.model,
            latency_ms=round((time.monotonic() - asked_at) * 1000, 1),
        )


def _response(msg: Msg) -> ChatResponse:
    """Read an answer.

    Raises:
        FleetError: It is an error, or no answer at all.
    """
    error = error_of(msg)
    if error is not None:
        raise error
    encoding = detect(msg.data, headers.header(msg.headers, headers.CONTENT_TYPE))
    if headers.header(msg.headers, headers.MESSAGE_TYPE) == ErrorResponse.schema_name:
        raise error_for_code(500, decode(ErrorResponse, msg.data, encoding).message)
    response = decode(ChatResponse, msg.data, encoding)
    if not response.success:
        raise error_for_code(500, response.error)
    return response
