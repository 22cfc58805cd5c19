"""The interfaces of chat servers: OpenAI's, which nearly all speak, and Ollama's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from handler_base.clients.chat import Completion, Delta, PromptPart, Usage
from handler_base.clients.endpoint import JSON, HttpAnswer, HttpRequest
from handler_base.clients.failures import malformed
from handler_base.clients.sse import EventStream, LineStream

__all__ = ["CHAT_DIALECTS", "ChatDialect", "ChatQuestion", "DeltaReader"]

_EVENT_STREAM: Final = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}


@dataclass(slots=True)
class ChatQuestion:
    """What a model is asked.

    Attributes:
        messages: The prompt.
        model: Empty: the server has only one.
        max_tokens: Most tokens of the answer.
        temperature: Sampling temperature.
        stream: Whether the answer comes piece by piece.
    """

    messages: Sequence[PromptPart]
    model: str
    max_tokens: int
    temperature: float
    stream: bool


class DeltaReader(Protocol):
    """Turns the bytes of one streamed answer into deltas.

    Attributes:
        finish_reason: Why the model stopped; empty while it has not.
        done: Whether the end marker was there: nothing more will come.
        failure: What is wrong with the stream, for the caller; empty for nothing. The deltas before it are good.
    """

    finish_reason: str
    done: bool
    failure: str

    def feed(self, data: bytes) -> Delta | None:
        """Return what the bytes add to the answer, as one delta; None where that is nothing."""
        ...

    def end(self) -> Delta | None:
        """Return what the end of the stream adds to the answer."""
        ...


class ChatDialect(Protocol):
    """How one kind of chat server is asked."""

    @property
    def name(self) -> str:
        """As in the settings."""
        ...

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        ...

    def request(self, question: ChatQuestion) -> HttpRequest:
        """Return the question as a request."""
        ...

    def reader(self) -> DeltaReader:
        """Return a reader for one streamed answer."""
        ...

    def answer(self, answer: HttpAnswer) -> Completion:
        """Return an answer that came in one piece.

        Raises:
            AttemptError: It makes no sense.
        """
        ...


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw()
    object: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Request(msgspec.Struct, omit_defaults=True):
    messages: Sequence[PromptPart]
    stream: bool
    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    stream_options: _StreamOptions | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_chunk: Final = msgspec.json.Decoder(_Chunk, strict=False).decode
_WITH_USAGE: Final = _StreamOptions()
_NULL: Final = (b"", b"null")
_BROKE_OFF: Final = "A model server stopped in the middle of its answer."


class OpenAIReader:
    """Reads `chat.completion.chunk` events; see `DeltaReader`."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.done = False
        self.failure = ""
        self._events = EventStream()

    def feed(self, data: bytes) -> Delta | None:
        """Return what the bytes add to the answer."""
        return self._delta(self._events.feed(data))

    def end(self) -> Delta | None:
        """Return what the end of the stream adds to the answer."""
        delta = self._delta(self._events.end())
        if not self.done and not self.finish_reason and not self.failure:
            self.failure = _BROKE_OFF
        return delta

    def _delta(self, events: list[bytes]) -> Delta | None:
        texts: list[str] = []
        usage: Usage | None = None
        finish = model = ""
        for event in events:
            if event == b"[DONE]":
                self.done = True
                break
            try:
                chunk = _decode_chunk(event)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.failure = "A model server answered with something unreadable."
                break
            if bytes(chunk.error) not in _NULL or chunk.object == "error":
                self.failure = "A model server reported an error in the middle of its answer."
                break
            if chunk.choices:
                choice = chunk.choices[0]
                finish = choice.finish_reason or finish
                if choice.delta is not None and choice.delta.content:
                    texts.append(choice.delta.content)
            if chunk.usage is not None:
                usage = _usage(chunk.usage)
            model = chunk.model or model
        if finish:
            self.finish_reason = finish
        if not (texts or finish or usage):
            return None
        return Delta("".join(texts), finish, usage, model)


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """``POST /v1/chat/completions``; see `ChatDialect`.

    Attributes:
        path: Where requests go, below the base URL.
        reasoning: Whether the model is one of OpenAI's that refuse `max_tokens` and a temperature.
        name: As in the settings.
    """

    path: str = "/v1/chat/completions"
    reasoning: bool = False
    name: str = "openai"

    def request(self, question: ChatQuestion) -> HttpRequest:
        """Return the question as a request."""
        body = _Request(
            model=question.model,
            messages=question.messages,
            max_tokens=None if self.reasoning else question.max_tokens,
            max_completion_tokens=question.max_tokens if self.reasoning else None,
            temperature=None if self.reasoning else question.temperature,
            stream=question.stream,
            stream_options=_WITH_USAGE if question.stream else None,
        )
        return HttpRequest(self.path, _encode(body), _EVENT_STREAM if question.stream else JSON)

    def reader(self) -> OpenAIReader:
        """Return a reader for one streamed answer."""
        return OpenAIReader()

    def answer(self, answer: HttpAnswer) -> Completion:
        """Return an answer that came in one piece."""
        try:
            chunk = _decode_chunk(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error
        if not chunk.choices or chunk.choices[0].message is None:
            raise malformed()
        choice = chunk.choices[0]
        text = choice.message.content if choice.message is not None else None
        usage = _usage(chunk.usage) if chunk.usage is not None else None
        return Completion(text or "", choice.finish_reason or "", usage, chunk.model or "")


class _OllamaLine(msgspec.Struct):
    message: _Text | None = None
    done: bool = False
    done_reason: str = ""
    model: str = ""
    prompt_eval_count: int = 0
    eval_count: int = 0
    error: msgspec.Raw = msgspec.Raw()


_decode_line: Final = msgspec.json.Decoder(_OllamaLine).decode


class OllamaReader:
    """Reads one JSON object a line; see `DeltaReader`."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.done = False
        self.failure = ""
        self._lines = LineStream()

    def feed(self, data: bytes) -> Delta | None:
        """Return what the bytes add to the answer."""
        return self._delta(self._lines.feed(data))

    def end(self) -> Delta | None:
        """Return what the end of the stream adds to the answer."""
        delta = self._delta(self._lines.end())
        if not self.done and not self.failure:
            self.failure = _BROKE_OFF
        return delta

    def _delta(self, lines: list[bytes]) -> Delta | None:
        completion = Completion()
        for raw in lines:
            if not raw.strip():
                continue
            try:
                line = _decode_line(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.failure = "A model server answered with something unreadable."
                break
            if bytes(line.error) not in _NULL:
                self.failure = "A model server reported an error in the middle of its answer."
                break
            completion.add(_ollama_delta(line))
            if line.done:
                self.done = True
                self.finish_reason = completion.finish_reason
        if not (completion.text or completion.finish_reason):
            return None
        return Delta(completion.text, completion.finish_reason, completion.usage, completion.model)


class _OllamaOptions(msgspec.Struct):
    num_predict: int
    temperature: float


class _OllamaRequest(msgspec.Struct):
    model: str
    messages: Sequence[PromptPart]
    stream: bool
    options: _OllamaOptions


@dataclass(frozen=True, slots=True)
class OllamaChat:
    """``POST /api/chat``; see `ChatDialect`."""

    path: str = "/api/chat"
    name: str = "ollama"

    def request(self, question: ChatQuestion) -> HttpRequest:
        """Return the question as a request."""
        options = _OllamaOptions(num_predict=question.max_tokens, temperature=question.temperature)
        body = _OllamaRequest(model=question.model, messages=question.messages, stream=question.stream, options=options)
        return HttpRequest(self.path, _encode(body))

    def reader(self) -> OllamaReader:
        """Return a reader for one streamed answer."""
        return OllamaReader()

    def answer(self, answer: HttpAnswer) -> Completion:
        """Return an answer that came in one piece."""
        try:
            line = _decode_line(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error
        if line.message is None:
            raise malformed()
        completion = Completion()
        completion.add(_ollama_delta(line))
        return completion


CHAT_DIALECTS: Final[tuple[ChatDialect, ...]] = (
    OpenAIChat(),
    OpenAIChat(reasoning=True),
    OpenAIChat("/openai/v1/chat/completions"),
    OpenAIChat("/chat/completions"),
    OllamaChat(),
)
"""Likeliest first. KServe puts a prefix before OpenAI's paths; some gateways leave out the version."""


def _usage(usage: _Usage) -> Usage:
    read = usage.prompt_tokens or 0
    written = usage.completion_tokens or 0
    return Usage(read, written, usage.total_tokens or read + written)


def _ollama_delta(line: _OllamaLine) -> Delta:
    text = line.message.content if line.message is not None else None
    if not line.done:
        return Delta(text or "", model=line.model)
    usage = Usage(line.prompt_eval_count, line.eval_count, line.prompt_eval_count + line.eval_count)
    return Delta(text or "", line.done_reason or "stop", usage, line.model)
