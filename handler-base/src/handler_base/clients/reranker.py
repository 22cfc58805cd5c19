"""How well texts fit a question, from 0 to 1."""

from __future__ import annotations

import math
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
from handler_base.telemetry import names

__all__ = ["RERANK_PATHS", "RerankerClient"]


@dataclass(frozen=True, slots=True)
class _Question:
    query: str
    texts: Sequence[str]
    model: str


class _TeiRequest(msgspec.Struct):
    query: str
    texts: Sequence[str]
    raw_scores: bool = False
    truncate: bool = True


class _CohereRequest(msgspec.Struct, omit_defaults=True):
    query: str
    documents: Sequence[str]
    top_n: int
    model: str = ""


class _ScoreRequest(msgspec.Struct, omit_defaults=True):
    text_1: str
    text_2: Sequence[str]
    model: str = ""


class _Rank(msgspec.Struct):
    index: int
    score: float | None = None
    relevance_score: float | None = None


class _Ranks(msgspec.Struct):
    results: list[_Rank] | None = None
    data: list[_Rank] | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_ranks: Final = msgspec.json.Decoder(_Ranks).decode
_decode_list: Final = msgspec.json.Decoder(list[_Rank]).decode


@dataclass(frozen=True, slots=True)
class _Tei:
    """``texts`` in; Text Embeddings Inference, and llama.cpp, which answers to either shape."""

    path: str = "/rerank"
    name: str = "tei"

    def request(self, question: _Question) -> HttpRequest:
        return HttpRequest(self.path, _encode(_TeiRequest(question.query, question.texts)))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[float]:
        return _scores(question, answer)


@dataclass(frozen=True, slots=True)
class _Cohere:
    """``documents`` in; Cohere, Jina, vLLM, llama.cpp, KServe."""

    path: str
    name: str = "cohere"

    def request(self, question: _Question) -> HttpRequest:
        body = _CohereRequest(question.query, question.texts, len(question.texts), question.model)
        return HttpRequest(self.path, _encode(body))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[float]:
        return _scores(question, answer)


@dataclass(frozen=True, slots=True)
class _Score:
    """One text against many: vLLM, Ray Serve."""

    path: str
    name: str = "score"

    def request(self, question: _Question) -> HttpRequest:
        return HttpRequest(self.path, _encode(_ScoreRequest(question.query, question.texts, question.model)))

    def answer(self, question: _Question, answer: HttpAnswer) -> list[float]:
        return _scores(question, answer)


_DIALECTS: Final[tuple[Dialect[_Question, list[float]], ...]] = (
    _Tei(),
    _Cohere("/v1/rerank"),
    _Cohere("/v2/rerank"),
    _Cohere("/rerank"),
    _Cohere("/openai/v1/rerank"),
    _Score("/v1/score"),
    _Score("/score"),
    _Tei(""),
    _Cohere(""),
)

RERANK_PATHS: Final = ("/v1/rerank", "/v2/rerank", "/openai/v1/rerank", "/rerank", "/v1/score", "/score")
"""Paths a base URL may end with."""

_MOST_TEXTS: Final = 32
"""Texts in one request: what Text Embeddings Inference takes by default."""


class RerankerClient:
    """Scores texts against a question.

    Args:
        http: The servers.
        model: Sent to servers that want a model name.
        dialect: `tei`, `cohere`, `score`, or `auto` to find out.
    """

    def __init__(self, http: HttpEndpoints, *, model: str = "", dialect: str = "auto") -> None:
        self._http = http
        self._model = model
        self._logits = False
        self._client = DialectClient(http, choose(_DIALECTS, dialect))
        self._operation = operation(names.GEN_AI_RERANK, "tei" if dialect in {"", "auto"} else dialect, model)

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def rerank(self, query: str, texts: Sequence[str], *, deadline: Deadline) -> list[float]:
        """Return a score from 0 to 1 for each text, in their order.

        Args:
            query: The question.
            texts: Any number; they are sent in parts the servers take.
            deadline: When the scores are due.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """
        scores: list[float] = []
        for start in range(0, len(texts), _MOST_TEXTS):
            question = _Question(query, texts[start : start + _MOST_TEXTS], self._model)
            scores += await self._client.ask(question, operation=self._operation, deadline=deadline)
        # One score outside of 0 to 1 shows that the server's scores are raw logits, those of later calls too.
        self._logits = self._logits or not all(0.0 <= score <= 1.0 for score in scores)
        return [_sigmoid(score) for score in scores] if self._logits else scores


def _scores(question: _Question, answer: HttpAnswer) -> list[float]:
    """Return the scores in the order of the texts, from any of the shapes servers answer in."""
    try:
        if answer.body.lstrip()[:1] == b"[":
            ranks = _decode_list(answer.body)
        else:
            shaped = _decode_ranks(answer.body)
            ranks = shaped.results or shaped.data or []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise malformed() from error
    found: dict[int, float] = {}
    for rank in ranks:
        score = rank.score if rank.relevance_score is None else rank.relevance_score
        if score is None:
            raise malformed()
        found[rank.index] = score
    if set(found) != set(range(len(question.texts))):
        raise malformed()
    return [found[position] for position in range(len(question.texts))]


def _sigmoid(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    power = math.exp(score)
    return power / (1.0 + power)
