"""Speech from text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.clients.audio import DEFAULT_RATE, SpeechAudio, media_format, pcm_rate
from handler_base.clients.dialects import Dialect, DialectClient
from handler_base.clients.endpoint import HttpAnswer, HttpRequest
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.observation import operation
from handler_base.deadline import Deadline
from handler_base.telemetry import names

__all__ = ["TTSClient"]


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    voice: str
    language: str
    audio_format: str
    model: str


class _OpenAIRequest(msgspec.Struct):
    model: str
    input: str
    voice: str
    response_format: str


_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _OpenAI:
    path: str = "/v1/audio/speech"
    name: str = "openai"

    def request(self, question: _Question) -> HttpRequest:
        body = _OpenAIRequest(question.model or "tts-1", question.text, question.voice, question.audio_format)
        return HttpRequest(self.path, _encode(body))

    def answer(self, question: _Question, answer: HttpAnswer) -> SpeechAudio:
        found = media_format(answer.content_type) or question.audio_format
        return SpeechAudio(answer.body, found, pcm_rate(answer.content_type, DEFAULT_RATE) if found == "pcm" else 0)


class TTSClient:
    """Speaks text."""

    def __init__(self, http: HttpEndpoints, *, model: str = "", voice: str = "", dialect: str = "auto") -> None:
        self._http = http
        self._model = model
        self._voice = voice
        dialects: tuple[Dialect[_Question, SpeechAudio], ...] = (_OpenAI(),)
        self._client = DialectClient(http, dialects)
        self._operation = operation(names.GEN_AI_SPEECH, "openai" if dialect in {"", "auto"} else dialect, model)

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def synthesize(
        self, text: str, *, voice: str = "", language: str = "", audio_format: str = "wav", deadline: Deadline
    ) -> SpeechAudio:
        """Return the spoken text."""
        question = _Question(text, voice or self._voice or "alloy", language, audio_format, self._model)
        return await self._client.ask(question, operation=self._operation, deadline=deadline)
