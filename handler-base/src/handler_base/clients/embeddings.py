"""Embeddings of texts, parsed or as the bytes the server sent."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.clients.dialects import Dialect, DialectClient, choose
from handler_base.clients.endpoint import HttpAnswer, HttpRequest
from handler_base.clients.failures import malformed
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.observation import operation
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError
from handler_base.telemetry import names

__all__ = ["EMBEDDING_PATHS", "EmbeddingsClient", "RawVector"]


@dataclass(frozen=True, slots=True)
class RawVector:
    """A vector as it came from the server.

    Attributes:
        json: A JSON array of numbers.
        dimension: How many.
    """

    json: bytes
    dimension: int


@dataclass(frozen=True, slots=True)
class _Question:
    texts: Sequence[str]
    model: str


class _OpenAIRequest(msgspec.Struct, omit_defaults=True):
    input: Sequence[str]
    model: str = ""


class _OpenAIItem(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _OpenAIAnswer(msgspec.Struct):
    data: list[_OpenAIItem]


class _TeiRequest(msgspec.Struct):
    inputs: Sequence[str]
    normalize: bool = True
    truncate: bool = True


class _OllamaAnswer(msgspec.Struct):
    embeddings: list[msgspec.Raw]


_encode: Final = msgspec.json.Encoder().encode
_decode_openai: Final = msgspec.json.Decoder(_OpenAIAnswer).decode
_decode_tei: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_ollama: Final = msgspec.json.Decoder(_OllamaAnswer).decode
_decode_floats: Final = msgspec.json.Decoder(list[float]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class _OpenAI:
    """``POST /v1/embeddings``: vLLM, TEI, llama.cpp, Ollama, Ray Serve, KServe."""

    path: str = "/v1/embeddings"
    name: str = "openai"

    def request(self, question: _Question) -> HttpRequest:
        return HttpRequest(self.path, _encode(_OpenAIRequest(question.texts, question.model)))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[msgspec.Raw]:
        try:
            items = _decode_openai(answer.body).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error
        found = {position if item.index is None else item.index: item.embedding for position, item in enumerate(items)}
        if set(found) != set(range(len(question.texts))):
            raise malformed()
        return [found[position] for position in range(len(question.texts))]


@dataclass(frozen=True, slots=True)
class _Tei:
    """``POST /embed`` of Text Embeddings Inference."""

    path: str = "/embed"
    name: str = "tei"

    def request(self, question: _Question) -> HttpRequest:
        return HttpRequest(self.path, _encode(_TeiRequest(question.texts)))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[msgspec.Raw]:
        try:
            return _complete(_decode_tei(answer.body), question)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error


@dataclass(frozen=True, slots=True)
class _Ollama:
    """``POST /api/embed`` of Ollama."""

    path: str = "/api/embed"
    name: str = "ollama"

    def request(self, question: _Question) -> HttpRequest:
        return HttpRequest(self.path, _encode(_OpenAIRequest(question.texts, question.model)))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[msgspec.Raw]:
        try:
            return _complete(_decode_ollama(answer.body).embeddings, question)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error


_DIALECTS: Final[tuple[Dialect[_Question, list[msgspec.Raw]], ...]] = (
    _OpenAI(),
    _Tei(),
    _Ollama(),
    _OpenAI("/openai/v1/embeddings"),
    _OpenAI(""),
)

EMBEDDING_PATHS: Final = ("/v1/embeddings", "/openai/v1/embeddings", "/embed", "/api/embed")
"""Paths a base URL may end with."""

_MOST_TEXTS: Final = 32
"""Texts in one request: what Text Embeddings Inference takes by default."""


class EmbeddingsClient:
    """Turns texts into vectors.

    Args:
        http: The servers.
        model: Sent to servers that want a model name.
        dialect: `openai`, `tei`, `ollama`, or `auto` to find out.
    """

    def __init__(self, http: HttpEndpoints, *, model: str = "", dialect: str = "auto") -> None:
        self._http = http
        self._model = model
        self._client = DialectClient(http, choose(_DIALECTS, dialect))
        self._operation = operation(names.GEN_AI_EMBEDDINGS, "openai" if dialect in {"", "auto"} else dialect, model)

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def embed(self, texts: Sequence[str], *, deadline: Deadline) -> list[list[float]]:
        """Return one vector for each text, in their order.

        Args:
            texts: Any number; they are sent in parts the servers take.
            deadline: When all of them are due.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _MOST_TEXTS):
            raw = await self._ask(texts[start : start + _MOST_TEXTS], deadline)
            vectors.extend(_floats(vector) for vector in raw)
        return vectors

    async def embed_raw(self, text: str, *, deadline: Deadline) -> RawVector:
        """Return the vector of one text without parsing its numbers; see `embed` for what it raises."""
        (raw,) = await self._ask((text,), deadline)
        return _raw_vector(raw)

    async def _ask(self, texts: Sequence[str], deadline: Deadline) -> list[msgspec.Raw]:
        question = _Question(texts, self._model)
        return await self._client.ask(question, operation=self._operation, deadline=deadline)


def _complete(vectors: list[msgspec.Raw], question: _Question) -> list[msgspec.Raw]:
    if len(vectors) != len(question.texts):
        raise malformed()
    return vectors


def _raw_vector(raw: msgspec.Raw) -> RawVector:
    data = bytes(raw)
    if data[:1] == b'"':
        floats = _floats(raw)
        return RawVector(_encode(floats), len(floats))
    # The bytes are one well-formed JSON value already. An array that holds nothing but numbers has only one
    # bracket, and none of the letters and signs of strings, objects, null, true and false. Searching is far
    # cheaper than counting or parsing.
    if data[:1] != b"[" or data.find(b"[", 1) >= 0 or any(sign in data for sign in (b'"', b"{", b"u", b"l")):
        raise _not_a_vector()
    dimension = data.count(b",") + 1
    if dimension == 1 and not data.strip(b"[] \t\r\n"):
        raise _not_a_vector()
    return RawVector(data, dimension)


def _floats(raw: msgspec.Raw) -> list[float]:
    """Return the numbers of a vector that is a JSON array, or little-endian float32 in base64."""
    try:
        if not bytes(raw).startswith(b'"'):
            floats = _decode_floats(raw)
        else:
            data = base64.b64decode(_decode_text(raw), validate=True)
            floats = list(struct.unpack(f"<{len(data) // 4}f", data))
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, struct.error) as error:
        raise _not_a_vector() from error
    if not floats:
        raise _not_a_vector()
    return floats


def _not_a_vector() -> UpstreamError:
    return UpstreamError("The embeddings server answered with something that is not a vector.")
