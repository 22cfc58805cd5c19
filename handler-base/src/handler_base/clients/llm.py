"""The chat model: whole answers and streamed ones."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from handler_base.clients.chat import Completion, Delta, PromptPart
from handler_base.clients.chat_dialects import CHAT_DIALECTS, ChatDialect, ChatQuestion
from handler_base.clients.dialects import DialectMemory, Refusal, choose
from handler_base.clients.endpoint import Endpoint, HttpAnswer, StreamTimeouts
from handler_base.clients.failures import AttemptError
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.models import ModelDirectory
from handler_base.clients.observation import Observation, operation
from handler_base.clients.stream import HttpStream
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError
from handler_base.telemetry import names

__all__ = ["CHAT_PATHS", "LLMClient"]

CHAT_PATHS: Final = tuple({dialect.path for dialect in CHAT_DIALECTS})
"""Paths a base URL may end with."""

_T = TypeVar("_T")


class LLMClient:
    """Asks a chat model, in OpenAI's or Ollama's interface.

    Args:
        http: The servers.
        model: Used where a call names none; empty: the first that the server lists.
        max_tokens: Most tokens of an answer, where a call sets no other bound.
        temperature: Sampling temperature, where a call sets no other.
        dialect: `openai`, `ollama`, or `auto` to find out.
        timeouts: How long a stream may be silent.
    """

    def __init__(
        self,
        http: HttpEndpoints,
        *,
        model: str = "",
        max_tokens: int = 1024,
        temperature: float = 0.2,
        dialect: str = "auto",
        timeouts: StreamTimeouts | None = None,
    ) -> None:
        self._http = http
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._provider = "openai" if dialect in {"", "auto"} else dialect
        self._dialects: DialectMemory[ChatDialect] = DialectMemory(choose(CHAT_DIALECTS, dialect))
        self._models = ModelDirectory()
        self._timeouts = timeouts or StreamTimeouts()

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def complete(
        self,
        messages: Sequence[PromptPart],
        *,
        model: str = "",
        max_tokens: int | None = None,
        temperature: float | None = None,
        deadline: Deadline,
    ) -> Completion:
        """Return the whole answer; cancelling the call closes its connection.

        Args:
            messages: The prompt.
            model: Empty: the client's.
            max_tokens: Most tokens of the answer; None: the client's bound.
            temperature: None: the client's.
            deadline: When the end of the answer is due.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """
        question = self._question(messages, model, max_tokens, temperature, stream=False)
        with operation(names.GEN_AI_CHAT, self._provider, question.model).observe() as observed:
            context = observed.span.context

            async def send(endpoint: Endpoint, dialect: ChatDialect, passing: frozenset[int]) -> Completion | Refusal:
                request = dialect.request(question)
                answer = await endpoint.exchange(request, deadline=deadline, context=context, passing=passing)
                return dialect.answer(answer) if answer.status < 300 else Refusal(answer.status)

            completion = await self._run(send, question, deadline, observed)
            observed.model(completion.model, completion.finish_reason)
            if completion.usage is not None:
                observed.tokens(completion.usage.prompt_tokens, completion.usage.completion_tokens)
            return completion

    async def stream(
        self,
        messages: Sequence[PromptPart],
        *,
        model: str = "",
        max_tokens: int | None = None,
        temperature: float | None = None,
        deadline: Deadline,
        gather: timedelta = timedelta(0),
    ) -> AsyncGenerator[Delta]:
        """Yield the answer piece by piece. Closing the generator closes the connection at once.

        A call fails over to another server only before the first piece.

        Args:
            messages: The prompt.
            model: Empty: the client's.
            max_tokens: Most tokens of the answer; None: the client's bound.
            temperature: None: the client's.
            deadline: When the end of the answer is due.
            gather: Pieces that come within this time after another are yielded together. The first is never held back.

        Yields:
            Deltas with text; the last may have none, but the finish reason and the usage.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error, makes no sense or stops in the middle.
            DeadlineExceededError: The deadline passed.
        """
        question = self._question(messages, model, max_tokens, temperature, stream=True)
        pause = gather.total_seconds()
        with operation(names.GEN_AI_CHAT, self._provider, question.model).observe() as observed:
            stream, dialect = await self._open(question, deadline, observed)
            try:
                if stream.content_type.startswith("application/json"):
                    yield _whole(dialect, await stream.read_all(), observed)
                    return
                reader = dialect.reader()
                wait = 0.0
                while not reader.done:
                    data = await (stream.read_after(wait) if wait > 0 else stream.read())
                    delta = reader.feed(data) if data else reader.end()
                    wait = 0.0
                    if delta is not None:
                        _note(observed, delta)
                        due = time.monotonic() + pause
                        yield delta
                        # Nothing worth gathering comes after the reason the model stopped.
                        wait = 0.0 if reader.finish_reason else due - time.monotonic()
                    if reader.failure:
                        raise UpstreamError(reader.failure)
                    if not data:
                        break
                await stream.finish()
            finally:
                stream.close()

    async def _open(
        self, question: ChatQuestion, deadline: Deadline, observed: Observation
    ) -> tuple[HttpStream, ChatDialect]:
        context = observed.span.context

        async def send(
            endpoint: Endpoint, dialect: ChatDialect, passing: frozenset[int]
        ) -> tuple[HttpStream, ChatDialect] | Refusal:
            stream = await endpoint.open(
                dialect.request(question),
                deadline=deadline,
                timeouts=self._timeouts,
                context=context,
                passing=passing,
            )
            return (stream, dialect) if isinstance(stream, HttpStream) else Refusal(stream.status)

        return await self._run(send, question, deadline, observed)

    async def _run(
        self,
        send: Callable[[Endpoint, ChatDialect, frozenset[int]], Awaitable[_T | Refusal]],
        question: ChatQuestion,
        deadline: Deadline,
        observed: Observation,
    ) -> _T:
        """Ask the servers in their order, each in its dialect and for a model it has."""
        named = question.model

        async def ask(endpoint: Endpoint) -> _T:
            async def speak(dialect: ChatDialect, passing: frozenset[int]) -> _T | Refusal:
                return await send(endpoint, dialect, passing)

            return await self._dialects.ask(endpoint, speak)

        async def attempt(endpoint: Endpoint) -> _T:
            if named:
                return await ask(endpoint)
            known = self._models.known(endpoint)
            question.model = known if known is not None else await self._models.find(endpoint, deadline)
            try:
                return await ask(endpoint)
            except AttemptError as error:
                if known is None or error.reason != "http_404":
                    raise
            # The server may have been given another model since.
            self._models.forget(endpoint)
            question.model = await self._models.find(endpoint, deadline)
            return await ask(endpoint)

        return await self._http.run(attempt, deadline=deadline, span=observed.span, repeatable=False)

    def _question(
        self,
        messages: Sequence[PromptPart],
        model: str,
        max_tokens: int | None,
        temperature: float | None,
        *,
        stream: bool,
    ) -> ChatQuestion:
        return ChatQuestion(
            messages=messages,
            model=model or self._model,
            max_tokens=self._max_tokens if max_tokens is None else max_tokens,
            temperature=self._temperature if temperature is None else temperature,
            stream=stream,
        )


def _whole(dialect: ChatDialect, body: bytes, observed: Observation) -> Delta:
    """Return the answer of a server that does not stream as one piece."""
    try:
        completion = dialect.answer(HttpAnswer(200, body))
    except AttemptError as error:
        raise error.release() from error
    delta = Delta(completion.text, completion.finish_reason, completion.usage, completion.model)
    _note(observed, delta)
    return delta


def _note(observed: Observation, delta: Delta) -> None:
    if delta.text:
        observed.chunk()
    if delta.finish_reason:
        observed.model(delta.model, delta.finish_reason)
    if delta.usage is not None:
        observed.tokens(delta.usage.prompt_tokens, delta.usage.completion_tokens)
